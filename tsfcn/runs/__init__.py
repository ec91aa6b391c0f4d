"""What a run does, from its settings to its tables; `stages.execute_run` calls the others one after another.

planning      settings -> jobs
placement     settings -> Placement: device, processes, jobs at a time; all that differs between executors
run_plan      Request + jobs + records -> RunPlan: which jobs are done, which are to be run, how long those take
preparation   Request -> RunPlan; whatever can be known to be wrong is found here
announcement  RunPlan -> the lines that are printed before the training
execution     RunPlan -> Outcome: the records of its jobs
submission    RunPlan -> tasks of Slurm, in place of `execution`
summary       Outcome -> tables, list of problems, exit code

Each imports only from those above it.
"""
