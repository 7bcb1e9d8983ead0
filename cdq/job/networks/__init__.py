"""Jobs whose workers train a network: the hub averages what each window has learnt.

- `messages`: Layouts of contributions and results of jobs that train a network, and the checks before anything is
  believed.
- `service`: The hub's part of a job that trains a network: the mean of parameters and moments of whoever came.
"""
