"""How a pretrained encoder meets a task. *features*: frozen encoder, a mix of its layers, a reader. *finetune*: all
weights train under one linear head. Neither knows which backend it holds."""
