"""lmcompare: what does pretraining buy, and how should it be transferred?"""

__version__ = "0.1.0"
