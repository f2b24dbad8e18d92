# What an environment may choose of scoring, watching and retraining. Ground, ingress, stream and API: variables.tf.

# --- Endpoint -----------------------------------------------------------------------------------------------------

variable "champion_model_data_url" {
  description = "The first champion: s3://BUCKET/models/.../model.tar.gz. Later ones come from retraining; changing this does not change a running endpoint."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^s3://[a-z0-9.-]{3,63}/models/.+/model[.]tar[.]gz$", var.champion_model_data_url))
    error_message = "champion_model_data_url looks like s3://BUCKET/models/.../model.tar.gz."
  }
}

variable "challenger_model_data_url" {
  description = "A model that scores in the shadow of the first champion from the day on that the endpoint is made, like champion_model_data_url; empty for none."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.challenger_model_data_url == "" || can(regex("^s3://[a-z0-9.-]{3,63}/models/.+/model[.]tar[.]gz$", var.challenger_model_data_url))
    error_message = "challenger_model_data_url is empty or looks like s3://BUCKET/models/.../model.tar.gz."
  }
}

variable "scoring_instance_type" {
  description = "The instances behind the endpoint: the c5 or m5 family."
  type        = string
  default     = "ml.c5.large"
  nullable    = false

  validation {
    condition     = can(regex("^ml[.](c5|m5)[.](large|xlarge|[0-9]{1,2}xlarge)$", var.scoring_instance_type))
    error_message = "scoring_instance_type is ml.c5 or ml.m5 and a size."
  }
}

variable "scoring_instances" {
  description = "Fewest and most instances behind the endpoint. Two at least if it must outlive a zone."
  type        = object({ min = number, max = number })
  default     = { min = 1, max = 2 }
  nullable    = false

  validation {
    condition     = var.scoring_instances.min >= 1 && var.scoring_instances.max >= var.scoring_instances.min && var.scoring_instances.max <= 100
    error_message = "scoring_instances has 1 <= min <= max <= 100."
  }
}

variable "scoring_invocations_per_instance" {
  description = "How many invocations a minute one instance is meant to answer; more instances come above it. An invocation carries a batch."
  type        = number
  default     = 3000
  nullable    = false

  validation {
    condition     = var.scoring_invocations_per_instance >= 1
    error_message = "scoring_invocations_per_instance is at least 1."
  }
}

variable "capture_percent" {
  description = "The part of the invocations whose payloads are kept in the bucket."
  type        = number
  default     = 100
  nullable    = false

  validation {
    condition     = var.capture_percent >= 1 && var.capture_percent <= 100 && floor(var.capture_percent) == var.capture_percent
    error_message = "capture_percent is a whole number between 1 and 100."
  }
}

variable "endpoint_slow_ms" {
  description = "An endpoint slower than this (p99) is an alarm, and during a rollout brings the old model back."
  type        = number
  default     = 100
  nullable    = false

  validation {
    condition     = var.endpoint_slow_ms >= 1 && var.endpoint_slow_ms <= 60000
    error_message = "endpoint_slow_ms is between 1 and 60000."
  }
}

variable "rollout" {
  description = "How a new model comes in: the part of the capacity that gets it first (with two instances or more), how long alarms are watched then and once more at the end, and when to give up."
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
  description = "Whether a person approves in the registry what the gate let through, before it answers."
  type        = bool
  default     = true
  nullable    = false
}

variable "approval_hours" {
  description = "How long a retraining waits for that person before it times out."
  type        = number
  default     = 168
  nullable    = false

  validation {
    condition     = var.approval_hours >= 1 && var.approval_hours <= 720
    error_message = "approval_hours is between 1 and 720."
  }
}

variable "approval_poll_seconds" {
  description = "How often a retraining looks whether it is approved."
  type        = number
  default     = 600
  nullable    = false

  # An execution ends after 25,000 events, and a look costs nine.
  validation {
    condition     = var.approval_poll_seconds >= 1 && var.approval_hours * 3600 / var.approval_poll_seconds <= 2000
    error_message = "approval_poll_seconds is at least 1 and allows at most 2000 looks within approval_hours."
  }
}

variable "model_reader_accounts" {
  description = "Other accounts that may read the registered models, as their twelve digits."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for account in var.model_reader_accounts : can(regex("^[0-9]{12}$", account))])
    error_message = "model_reader_accounts holds account numbers of twelve digits."
  }
}

# --- Jobs ---------------------------------------------------------------------------------------------------------

variable "job_instance_type" {
  description = "The instance of each processing job (archive, watch, assemble, judge): the c5 or m5 family."
  type        = string
  default     = "ml.m5.large"
  nullable    = false

  validation {
    condition     = can(regex("^ml[.](c5|m5)[.](large|xlarge|[0-9]{1,2}xlarge)$", var.job_instance_type))
    error_message = "job_instance_type is ml.c5 or ml.m5 and a size."
  }
}

variable "training_instance_type" {
  description = "The instance that fits a challenger: the c5 or m5 family."
  type        = string
  default     = "ml.m5.xlarge"
  nullable    = false

  validation {
    condition     = can(regex("^ml[.](c5|m5)[.](large|xlarge|[0-9]{1,2}xlarge)$", var.training_instance_type))
    error_message = "training_instance_type is ml.c5 or ml.m5 and a size."
  }
}

variable "job_volume_gb" {
  description = "The disk of each job."
  type        = number
  default     = 50
  nullable    = false

  validation {
    condition     = var.job_volume_gb >= 10 && var.job_volume_gb <= 1024
    error_message = "job_volume_gb is between 10 and 1024."
  }
}

variable "job_hours" {
  description = "When a job is stopped."
  type        = number
  default     = 4
  nullable    = false

  validation {
    condition     = var.job_hours >= 1 && var.job_hours <= 24 && floor(var.job_hours) == var.job_hours
    error_message = "job_hours is a whole number between 1 and 24."
  }
}

variable "own_job_log_groups" {
  description = "Whether this environment makes the log groups of SageMaker's jobs, whose names are fixed: true for one environment of an account and region, false for its neighbours."
  type        = bool
  default     = true
  nullable    = false
}

variable "model_reserved_concurrency" {
  description = "Of the account's concurrency, how much is kept for the function model and is its most; -1 for none. AWS wants 100 unreserved, and a new account has 10 in all."
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
  description = "Whether the state machine daily starts by the clock."
  type        = bool
  default     = true
  nullable    = false
}

variable "daily_schedule" {
  description = "When the state machine daily starts, in UTC, once a day, late in the day that it is about."
  type        = string
  default     = "cron(55 23 * * ? *)"
  nullable    = false

  validation {
    condition     = can(regex("^cron[(][0-5]?[0-9] (1[2-9]|2[0-3]) [*] [*] [?] [*][)]$", var.daily_schedule))
    error_message = "daily_schedule is cron(M H * * ? *) with H between 12 and 23: once a day, on the day that it is about."
  }
}

variable "daily_settle_seconds" {
  description = "How long after its start the state machine daily waits for the last records of the day."
  type        = number
  default     = 3600
  nullable    = false

  validation {
    condition     = var.daily_settle_seconds >= 0 && var.daily_settle_seconds <= 43200
    error_message = "daily_settle_seconds is between 0 and 43200."
  }
}

variable "endpoint_poll_seconds" {
  description = "How often a retraining looks whether the endpoint has taken the new model."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.endpoint_poll_seconds >= 1 && var.endpoint_poll_seconds <= 600
    error_message = "endpoint_poll_seconds is between 1 and 600."
  }
}

# --- Backfill and money -------------------------------------------------------------------------------------------

variable "emr_release" {
  description = "The release of EMR that runs the backfill."
  type        = string
  default     = "emr-7.9.0"
  nullable    = false

  validation {
    condition     = can(regex("^emr-[0-9]+[.][0-9]+[.][0-9]+$", var.emr_release))
    error_message = "emr_release looks like emr-7.9.0."
  }
}

variable "backfill_capacity" {
  description = "The most that the backfill may use at once."
  type        = object({ cpus = number, memory_gb = number, disk_gb = number })
  default     = { cpus = 16, memory_gb = 64, disk_gb = 200 }
  nullable    = false

  validation {
    condition     = var.backfill_capacity.cpus >= 8 && var.backfill_capacity.memory_gb >= 2 * var.backfill_capacity.cpus && var.backfill_capacity.disk_gb >= 40
    error_message = "backfill_capacity has at least 8 cpus (a driver and an executor), 2 GB of memory for each, and 40 GB of disk."
  }
}

variable "monthly_budget_usd" {
  description = "What the account may cost a month: at 80 % spent or 100 % forecast, the alarms' topic is told."
  type        = number
  nullable    = false

  validation {
    condition     = var.monthly_budget_usd >= 1
    error_message = "monthly_budget_usd is at least 1."
  }
}
