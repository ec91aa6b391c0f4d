"""Callbacks for the classifiers that log each epoch with another library, in a file for each library.

from tsfcn.callbacks.tensorboard import TensorBoardLogger
FCNClassifier(callbacks=[TensorBoardLogger("logs")]).fit(X, y)
"""
