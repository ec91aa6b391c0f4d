"""Where jobs run, a file each: in this process, in threads that share a GPU, in worker processes."""
