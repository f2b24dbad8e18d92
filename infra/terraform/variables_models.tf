# Settings of an environment: scoring, monitoring and retraining. variables.tf has the other ones.

# --- Endpoint -----------------------------------------------------------------------------------------------------

variable "champion_model_data_url" {
  description = "Archive of the first champion: s3://BUCKET/models/.../model.tar.gz. Retraining creates later ones. A change does not affect an existing endpoint."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^s3://[a-z0-9.-]{3,63}/models/.+/model[.]tar[.]gz$", var.champion_model_data_url))
    error_message = "champion_model_data_url looks like s3://BUCKET/models/.../model.tar.gz."
  }
}

variable "challenger_model_data_url" {
  description = "Archive of a challenger that runs as a shadow of the first champion, in the form of champion_model_data_url. Empty for none."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.challenger_model_data_url == "" || can(regex("^s3://[a-z0-9.-]{3,63}/models/.+/model[.]tar[.]gz$", var.challenger_model_data_url))
    error_message = "challenger_model_data_url is empty or looks like s3://BUCKET/models/.../model.tar.gz."
  }
}

variable "scoring_instance_type" {
  description = "Instance type of the endpoint, of the c5 or m5 family."
  type        = string
  default     = "ml.c5.large"
  nullable    = false

  validation {
    condition     = can(regex("^ml[.](c5|m5)[.](large|xlarge|[0-9]{1,2}xlarge)$", var.scoring_instance_type))
    error_message = "scoring_instance_type is ml.c5 or ml.m5 followed by a size."
  }
}

variable "scoring_instances" {
  description = "Minimum and maximum number of the endpoint's instances. It needs two to survive the loss of a zone."
  type        = object({ min = number, max = number })
  default     = { min = 1, max = 2 }
  nullable    = false

  validation {
    condition     = var.scoring_instances.min >= 1 && var.scoring_instances.max >= var.scoring_instances.min && var.scoring_instances.max <= 100
    error_message = "scoring_instances has 1 <= min <= max <= 100."
  }
}

variable "scoring_invocations_per_instance" {
  description = "Target number of invocations per minute and instance for autoscaling. An invocation scores a batch."
  type        = number
  default     = 3000
  nullable    = false

  validation {
    condition     = var.scoring_invocations_per_instance >= 1
    error_message = "scoring_invocations_per_instance is at least 1."
  }
}

variable "capture_percent" {
  description = "Percentage of invocations whose payloads are captured to the data bucket."
  type        = number
  default     = 100
  nullable    = false

  validation {
    condition     = var.capture_percent >= 1 && var.capture_percent <= 100 && floor(var.capture_percent) == var.capture_percent
    error_message = "capture_percent is a whole number between 1 and 100."
  }
}

variable "endpoint_slow_ms" {
  description = "Latency of the endpoint (p99) in milliseconds above which an alarm goes off, which also rolls back a rollout."
  type        = number
  default     = 100
  nullable    = false

  validation {
    condition     = var.endpoint_slow_ms >= 1 && var.endpoint_slow_ms <= 60000
    error_message = "endpoint_slow_ms is between 1 and 60000."
  }
}

variable "rollout" {
  description = "Rollout of a new model: percentage of the capacity in the canary (with two instances or more), time for which alarms are watched after each step, and timeout."
  type        = object({ canary_percent = number, watch_seconds = number, timeout_seconds = number })
  default     = { canary_percent = 10, watch_seconds = 600, timeout_seconds = 7200 }
  nullable    = false

  validation {
    condition     = var.rollout.canary_percent >= 1 && var.rollout.canary_percent <= 50
    error_message = "rollout.canary_percent is between 1 and 50."
  }

  validation {
    condition     = var.rollout.watch_seconds >= 0 && var.rollout.watch_seconds <= 3600
    error_message = "rollout.watch_seconds is between 0 and 3600."
  }

  validation {
    condition     = var.rollout.timeout_seconds >= 600 && var.rollout.timeout_seconds <= 28800 && var.rollout.timeout_seconds > 2 * var.rollout.watch_seconds
    error_message = "rollout.timeout_seconds is between 600 and 28800 and longer than twice watch_seconds."
  }
}

# --- Registry -----------------------------------------------------------------------------------------------------

variable "manual_approval" {
  description = "Whether a person must approve a model that passed the gate before it is rolled out."
  type        = bool
  default     = true
  nullable    = false
}

variable "approval_hours" {
  description = "Hours for which a retraining waits for the approval."
  type        = number
  default     = 168
  nullable    = false

  validation {
    condition     = var.approval_hours >= 1 && var.approval_hours <= 720
    error_message = "approval_hours is between 1 and 720."
  }
}

variable "approval_poll_seconds" {
  description = "Interval in seconds at which a retraining polls for the approval."
  type        = number
  default     = 600
  nullable    = false

  # An execution has at most 25,000 events, and a poll takes nine.
  validation {
    condition     = var.approval_poll_seconds >= 1 && var.approval_hours * 3600 / var.approval_poll_seconds <= 2000
    error_message = "approval_poll_seconds is at least 1 and allows at most 2000 polls within approval_hours."
  }
}

variable "model_reader_accounts" {
  description = "IDs of other AWS accounts that may read the registered models."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for account in var.model_reader_accounts : can(regex("^[0-9]{12}$", account))])
    error_message = "model_reader_accounts holds account IDs of twelve digits."
  }
}

# --- Jobs ---------------------------------------------------------------------------------------------------------

variable "job_instance_type" {
  description = "Instance type of processing jobs (archive, monitor, assemble, evaluate), of the c5 or m5 family."
  type        = string
  default     = "ml.m5.large"
  nullable    = false

  validation {
    condition     = can(regex("^ml[.](c5|m5)[.](large|xlarge|[0-9]{1,2}xlarge)$", var.job_instance_type))
    error_message = "job_instance_type is ml.c5 or ml.m5 followed by a size."
  }
}

variable "training_instance_type" {
  description = "Instance type of training jobs, of the c5 or m5 family."
  type        = string
  default     = "ml.m5.xlarge"
  nullable    = false

  validation {
    condition     = can(regex("^ml[.](c5|m5)[.](large|xlarge|[0-9]{1,2}xlarge)$", var.training_instance_type))
    error_message = "training_instance_type is ml.c5 or ml.m5 followed by a size."
  }
}

variable "job_volume_gb" {
  description = "Disk size of each job in GB."
  type        = number
  default     = 50
  nullable    = false

  validation {
    condition     = var.job_volume_gb >= 10 && var.job_volume_gb <= 1024
    error_message = "job_volume_gb is between 10 and 1024."
  }
}

variable "job_hours" {
  description = "Timeout of each job in hours."
  type        = number
  default     = 4
  nullable    = false

  validation {
    condition     = var.job_hours >= 1 && var.job_hours <= 24 && floor(var.job_hours) == var.job_hours
    error_message = "job_hours is a whole number between 1 and 24."
  }
}

variable "own_job_log_groups" {
  description = "Whether this environment creates the log groups of SageMaker jobs, whose names are fixed: true for one environment per account and region, false for the others."
  type        = bool
  default     = true
  nullable    = false
}

variable "model_reserved_concurrency" {
  description = "Reserved concurrency of the function model, which is also its maximum. -1 for none. AWS requires 100 unreserved; a new account has 10."
  type        = number
  default     = -1
  nullable    = false

  validation {
    condition     = var.model_reserved_concurrency == -1 || var.model_reserved_concurrency >= 1
    error_message = "model_reserved_concurrency is -1 or at least 1."
  }
}

# --- State machines -----------------------------------------------------------------------------------------------

variable "daily_enabled" {
  description = "Whether the state machine daily starts by its schedule."
  type        = bool
  default     = true
  nullable    = false
}

variable "daily_schedule" {
  description = "Schedule of the state machine daily in UTC: once a day, late on the day that it processes."
  type        = string
  default     = "cron(55 23 * * ? *)"
  nullable    = false

  validation {
    condition     = can(regex("^cron[(][0-5]?[0-9] (1[2-9]|2[0-3]) [*] [*] [?] [*][)]$", var.daily_schedule))
    error_message = "daily_schedule is cron(M H * * ? *) with H between 12 and 23: once a day, on the day that it processes."
  }
}

variable "daily_settle_seconds" {
  description = "Seconds for which the state machine daily waits for the last records of the day."
  type        = number
  default     = 3600
  nullable    = false

  validation {
    condition     = var.daily_settle_seconds >= 0 && var.daily_settle_seconds <= 43200
    error_message = "daily_settle_seconds is between 0 and 43200."
  }
}

variable "endpoint_poll_seconds" {
  description = "Interval in seconds at which a retraining polls the endpoint's update."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.endpoint_poll_seconds >= 1 && var.endpoint_poll_seconds <= 600
    error_message = "endpoint_poll_seconds is between 1 and 600."
  }
}

# --- Backfill and budget ------------------------------------------------------------------------------------------

variable "emr_release" {
  description = "EMR release of the backfill."
  type        = string
  default     = "emr-7.9.0"
  nullable    = false

  validation {
    condition     = can(regex("^emr-[0-9]+[.][0-9]+[.][0-9]+$", var.emr_release))
    error_message = "emr_release looks like emr-7.9.0."
  }
}

variable "backfill_capacity" {
  description = "Maximum capacity of the backfill at any time."
  type        = object({ cpus = number, memory_gb = number, disk_gb = number })
  default     = { cpus = 16, memory_gb = 64, disk_gb = 200 }
  nullable    = false

  validation {
    condition     = var.backfill_capacity.cpus >= 8 && var.backfill_capacity.memory_gb >= 2 * var.backfill_capacity.cpus && var.backfill_capacity.disk_gb >= 40
    error_message = "backfill_capacity has at least 8 cpus (a driver and an executor), 2 GB of memory for each, and 40 GB of disk."
  }
}

variable "monthly_budget_usd" {
  description = "Monthly budget of the account in USD. The topic of alarms is notified at 80 % spent or 100 % forecast."
  type        = number
  nullable    = false

  validation {
    condition     = var.monthly_budget_usd >= 1
    error_message = "monthly_budget_usd is at least 1."
  }
}
