"""From files to text and on to tokens: strict readers, sentences, corpora, tokenizers."""
