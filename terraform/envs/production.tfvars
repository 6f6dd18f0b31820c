# The defaults are meant for production; only what has to be chosen stands here.
region                 = "eu-central-1"
throttling_rate_limit  = 5000
throttling_burst_limit = 10000
