"""What a run does, in the order in which it does it: `stages.execute_run` calls the modules one after another.

planning        settings -> jobs
placement       settings -> the device, the processes, and how many jobs are trained at a time
run_plan        jobs + records -> RunPlan: what is done, what is to be run, and how long that takes
preparation     Request -> RunPlan, with all checks before anything is trained
submission      RunPlan -> a batch script for Slurm, which trains it elsewhere
announcement    RunPlan -> the lines printed before the training
execution       RunPlan -> Outcome: the records of its jobs
summary         Outcome -> tables, the list of problems, the exit code

Each imports only from those above it.
"""
