"""Jobs whose workers train a network: the hub averages what each window has learnt.

- `member`: A worker's start in a job that trains a network, and what it brings and takes over.
- `messages`: Layouts of contributions and results of jobs that train a network, and the checks before anything is
  believed.
- `service`: The hub's part of a job that trains a network: the mean of parameters and moments of whoever came.
- `task`: The environment and the network of a job, made again wherever it is learnt.
"""
