"""Ranks as processes of an MPI job. Importing this loads no MPI."""
