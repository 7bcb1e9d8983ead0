"""Keras models: read and written as networks of the core (`layers`), and learnt as they are (`model`).

Keras and TensorFlow (the extra ``keras``) are imported by `backend`, on use and not before.
"""
