"""Gymnasium's side: everything that imports gymnasium lives here, and imports it on use."""
