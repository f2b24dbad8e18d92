# Settings of an environment: network, ingress, stream and API. variables_models.tf has those of models and jobs.

# --- Names --------------------------------------------------------------------------------------------------------

variable "name" {
  description = "Prefix of the names of all resources, followed by the environment."
  type        = string
  default     = "cardwatch"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.name))
    error_message = "name is 3 to 20 lower-case letters, digits and hyphens, and begins with a letter: buckets and roles are named after it."
  }
}

variable "environment" {
  description = "Name of this installation of the system, unique in an account."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,11}$", var.environment))
    error_message = "environment is 2 to 12 lower-case letters and digits, and begins with a letter."
  }

  validation {
    condition     = length("${var.name}-${var.environment}") <= 21
    error_message = "name and environment have 20 characters together at most: SageMaker's job names begin with them and have 63."
  }
}

variable "region" {
  description = "AWS region of all resources."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region looks like eu-central-1."
  }
}

variable "tags" {
  description = "Tags of every resource in addition to Project, Environment and ManagedBy."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = length(setintersection(keys(var.tags), ["Project", "Environment", "ManagedBy"])) == 0
    error_message = "tags must not name Project, Environment or ManagedBy: these identify the owner of a resource."
  }
}

# --- Images -------------------------------------------------------------------------------------------------------

variable "image_tag" {
  description = "Tag of the images in this environment's repositories. Tags are immutable there, so it identifies one build."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$", var.image_tag)) && var.image_tag != "latest"
    error_message = "image_tag is the tag of one build, which latest is not."
  }
}

variable "images" {
  description = "URIs of images in other repositories than this environment's, by part: lambda, scoring, archive, monitor, pipelines."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = length(setsubtract(keys(var.images), ["lambda", "scoring", "archive", "monitor", "pipelines"])) == 0
    error_message = "images has keys lambda, scoring, archive, monitor and pipelines only."
  }

  validation {
    condition     = alltrue([for uri in values(var.images) : can(regex("^[a-z0-9.-]+(:[0-9]+)?/[a-z0-9/._-]+(:[A-Za-z0-9_.-]+|@sha256:[0-9a-f]{64})$", uri))])
    error_message = "images holds registry/repository:tag or registry/repository@sha256:digest."
  }
}

# --- Network, logs and data ---------------------------------------------------------------------------------------

variable "vpc_cidr" {
  description = "CIDR block of the network. Each zone gets a sixteenth of it."
  type        = string
  default     = "10.40.0.0/16"
  nullable    = false

  validation {
    condition     = can(cidrhost(var.vpc_cidr, 0)) && try(tonumber(split("/", var.vpc_cidr)[1]) >= 16 && tonumber(split("/", var.vpc_cidr)[1]) <= 22, false)
    error_message = "vpc_cidr is an IPv4 network between /16 and /22."
  }
}

variable "zones" {
  description = "Letters of the availability zones with a private subnet. Append new ones, so that existing subnets are unchanged."
  type        = list(string)
  default     = ["a", "b", "c"]
  nullable    = false

  validation {
    condition     = contains([2, 3], length(var.zones)) && length(distinct(var.zones)) == length(var.zones) && alltrue([for letter in var.zones : can(regex("^[a-z]$", letter))])
    error_message = "zones is two or three different letters: MSK Serverless needs two, and each one costs more."
  }
}

variable "interface_endpoints" {
  description = "Short names of the AWS services with an interface endpoint. There is no internet access: apart from S3 and DynamoDB, other services cannot be reached."
  type        = set(string)
  default     = ["events", "kinesis-streams", "sagemaker.api", "sagemaker.runtime", "sqs"]
  nullable    = false

  validation {
    condition     = length(setsubtract(["kinesis-streams", "sagemaker.runtime", "sqs"], var.interface_endpoints)) == 0
    error_message = "interface_endpoints must hold kinesis-streams, sagemaker.runtime and sqs: the functions call them."
  }
}

variable "interface_endpoint_zones" {
  description = "Number of zones in which each interface endpoint has an address, priced per zone and hour. With fewer than zones, the other zones depend on those."
  type        = number
  default     = 2
  nullable    = false

  validation {
    condition     = var.interface_endpoint_zones >= 1 && var.interface_endpoint_zones <= length(var.zones)
    error_message = "interface_endpoint_zones is between 1 and zones."
  }
}

variable "log_retention_days" {
  description = "Retention of logs in CloudWatch, in days."
  type        = number
  default     = 365
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days is one of the numbers of days that CloudWatch offers, such as 7, 30 or 365."
  }
}

variable "alarm_email" {
  description = "E-mail address for alarms. Empty for none. AWS sends a confirmation request to it first."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.alarm_email == "" || can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", var.alarm_email))
    error_message = "alarm_email is one address, or empty."
  }
}

variable "deletion_protection" {
  description = "Whether a destroy fails instead of deleting the table of card states and buckets that have objects."
  type        = bool
  default     = true
  nullable    = false
}

variable "key_deletion_days" {
  description = "Days for which the deletion of a KMS key, and of all data that it encrypts, can be cancelled."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.key_deletion_days >= 7 && var.key_deletion_days <= 30
    error_message = "key_deletion_days is between 7 and 30."
  }
}

variable "capture_days" {
  description = "Days for which captured requests and responses of the endpoint are kept. The drift job reads the newest days."
  type        = number
  default     = 90
  nullable    = false

  validation {
    condition     = var.capture_days >= 1 && var.capture_days <= 3650 && floor(var.capture_days) == var.capture_days
    error_message = "capture_days is a whole number between 1 and 3650."
  }
}

variable "replicas" {
  description = "Versioned buckets in another region that get a copy of every object within minutes, and KMS keys of that region, by source: data, logs."
  type = map(object({
    bucket_arn  = string
    kms_key_arn = string
  }))
  default  = {}
  nullable = false

  validation {
    condition     = length(setsubtract(keys(var.replicas), ["data", "logs"])) == 0
    error_message = "replicas has the keys data and logs only."
  }

  validation {
    condition = alltrue([
      for replica in values(var.replicas) :
      can(regex("^arn:[a-z-]+:s3:::[a-z0-9.-]+$", replica.bucket_arn)) && can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", replica.kms_key_arn))
    ])
    error_message = "replicas holds the ARN of a bucket and of a KMS key."
  }

  validation {
    condition     = alltrue([for replica in values(var.replicas) : !strcontains(replica.kms_key_arn, ":kms:${var.region}:")])
    error_message = "replicas are in another region: one in this region is lost with it."
  }
}

variable "old_version_days" {
  description = "Days for which an overwritten or deleted object can be restored."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.old_version_days >= 1 && var.old_version_days <= 3650 && floor(var.old_version_days) == var.old_version_days
    error_message = "old_version_days is a whole number between 1 and 3650."
  }
}

# --- Ingress and stream -------------------------------------------------------------------------------------------

variable "ingress" {
  description = "Source of transactions: kinesis or msk (MSK Serverless)."
  type        = string
  default     = "kinesis"
  nullable    = false

  validation {
    condition     = contains(["kinesis", "msk"], var.ingress)
    error_message = "ingress is kinesis or msk."
  }
}

variable "control_key_secret_arn" {
  description = "ARN of a secret of Secrets Manager with the key of the policy's control share, at least 16 characters, made outside of Terraform and encrypted with the account's key of Secrets Manager or with the key of data. Empty: the policy has no control share."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.control_key_secret_arn == "" || can(regex("^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+$", var.control_key_secret_arn))
    error_message = "control_key_secret_arn is the ARN of a secret of Secrets Manager, or empty. It is not the key itself."
  }
}

variable "transactions_shards" {
  description = "Number of shards of the stream of transactions, 0 for on demand. The stream function runs once for each shard, so this also limits its concurrency."
  type        = number
  default     = 0
  nullable    = false

  validation {
    condition     = var.transactions_shards >= 0 && var.transactions_shards <= 10000 && floor(var.transactions_shards) == var.transactions_shards
    error_message = "transactions_shards is a whole number between 0 and 10000."
  }
}

variable "decisions_shards" {
  description = "Number of shards of the stream of decisions, 0 for on demand. Decisions are four times as large as transactions."
  type        = number
  default     = 0
  nullable    = false

  validation {
    condition     = var.decisions_shards >= 0 && var.decisions_shards <= 10000 && floor(var.decisions_shards) == var.decisions_shards
    error_message = "decisions_shards is a whole number between 0 and 10000."
  }
}

variable "stream_retention_hours" {
  description = "Retention of both streams in hours: the longest outage without loss of records."
  type        = number
  default     = 168
  nullable    = false

  validation {
    condition     = var.stream_retention_hours >= 24 && var.stream_retention_hours <= 8760 && floor(var.stream_retention_hours) == var.stream_retention_hours
    error_message = "stream_retention_hours is a whole number between 24 and 8760."
  }
}

variable "stream_batch_size" {
  description = "Maximum number of transactions in one invocation of the stream function."
  type        = number
  default     = 100
  nullable    = false

  validation {
    condition     = var.stream_batch_size >= 1 && var.stream_batch_size <= 1000 && floor(var.stream_batch_size) == var.stream_batch_size
    error_message = "stream_batch_size is a whole number between 1 and 1000: larger batches are too slow for card holders."
  }
}

variable "stream_give_up_seconds" {
  description = "Maximum age of a failing batch before Lambda stops retrying it, in seconds. Its shard waits until then. It is shorter than the retention, so that the records can be read again."
  type        = number
  default     = 21600
  nullable    = false

  validation {
    condition     = var.stream_give_up_seconds >= 60 && var.stream_give_up_seconds <= 604800 && var.stream_give_up_seconds <= var.stream_retention_hours * 1800
    error_message = "stream_give_up_seconds is between 60 and 604800, and at most half of stream_retention_hours."
  }
}

variable "stream_memory_mb" {
  description = "Memory of the stream function in MB. 1769 MB correspond to one processor."
  type        = number
  default     = 1769
  nullable    = false

  validation {
    condition     = var.stream_memory_mb >= 512 && var.stream_memory_mb <= 10240 && floor(var.stream_memory_mb) == var.stream_memory_mb
    error_message = "stream_memory_mb is a whole number between 512 and 10240."
  }
}

variable "stream_timeout_seconds" {
  description = "Timeout of the stream function for a batch in seconds, including its start."
  type        = number
  default     = 60
  nullable    = false

  validation {
    condition     = var.stream_timeout_seconds >= 10 && var.stream_timeout_seconds <= 900 && floor(var.stream_timeout_seconds) == var.stream_timeout_seconds
    error_message = "stream_timeout_seconds is a whole number between 10 and 900."
  }
}

variable "stream_reserved_concurrency" {
  description = "Reserved concurrency of the stream function, which is also its maximum. -1 for none. AWS requires 100 unreserved; a new account has 10."
  type        = number
  default     = -1
  nullable    = false

  validation {
    condition     = var.stream_reserved_concurrency == -1 || (var.stream_reserved_concurrency >= 1 && var.stream_reserved_concurrency >= var.transactions_shards)
    error_message = "stream_reserved_concurrency is -1, or at least 1 and at least transactions_shards: each shard needs one invocation."
  }
}

variable "deadline_ms" {
  description = "Timeout of an endpoint call in milliseconds. After it the rules decide, and the decision is marked degraded."
  type        = number
  default     = 250
  nullable    = false

  validation {
    condition     = var.deadline_ms >= 20 && var.deadline_ms <= 5000 && floor(var.deadline_ms) == var.deadline_ms
    error_message = "deadline_ms is a whole number between 20 and 5000."
  }
}

variable "tracing" {
  description = "Whether X-Ray traces calls of the API and the functions, priced per trace."
  type        = bool
  default     = true
  nullable    = false
}

# --- API ----------------------------------------------------------------------------------------------------------

variable "score_memory_mb" {
  description = "Memory of the API's function in MB. 1769 MB correspond to one processor."
  type        = number
  default     = 1769
  nullable    = false

  validation {
    condition     = var.score_memory_mb >= 512 && var.score_memory_mb <= 10240 && floor(var.score_memory_mb) == var.score_memory_mb
    error_message = "score_memory_mb is a whole number between 512 and 10240."
  }
}

variable "score_timeout_seconds" {
  description = "Timeout of the API's function in seconds, including its start."
  type        = number
  default     = 15
  nullable    = false

  validation {
    condition     = var.score_timeout_seconds >= 1 && var.score_timeout_seconds <= 29 && floor(var.score_timeout_seconds) == var.score_timeout_seconds
    error_message = "score_timeout_seconds is a whole number between 1 and 29, the timeout of API Gateway."
  }
}

variable "score_reserved_concurrency" {
  description = "Reserved concurrency of the API's function, which is also its maximum, so that it cannot use the stream function's. -1 for none."
  type        = number
  default     = -1
  nullable    = false

  validation {
    condition     = var.score_reserved_concurrency == -1 || var.score_reserved_concurrency >= max(1, var.score_provisioned_concurrency)
    error_message = "score_reserved_concurrency is -1, or at least 1 and at least score_provisioned_concurrency."
  }
}

variable "score_provisioned_concurrency" {
  description = "Provisioned concurrency of the API's function, priced per hour. With 0 the first request after a pause waits for a cold start."
  type        = number
  default     = 0
  nullable    = false

  validation {
    condition     = var.score_provisioned_concurrency >= 0 && floor(var.score_provisioned_concurrency) == var.score_provisioned_concurrency
    error_message = "score_provisioned_concurrency is a whole number of at least 0."
  }
}

variable "api_requests_per_second" {
  description = "Maximum rate of API requests per second."
  type        = number
  default     = 100
  nullable    = false

  validation {
    condition     = var.api_requests_per_second >= 1 && var.api_requests_per_second <= 10000
    error_message = "api_requests_per_second is between 1 and 10000, the limit of an account."
  }
}

variable "api_burst" {
  description = "Maximum burst of API requests."
  type        = number
  default     = 200
  nullable    = false

  validation {
    condition     = var.api_burst >= 1 && var.api_burst <= 5000 && floor(var.api_burst) == var.api_burst
    error_message = "api_burst is a whole number between 1 and 5000, the limit of an account."
  }
}

variable "api_requests_per_day" {
  description = "Maximum number of API requests per day of all clients together. 0 for no limit."
  type        = number
  default     = 0
  nullable    = false

  validation {
    condition     = var.api_requests_per_day >= 0 && floor(var.api_requests_per_day) == var.api_requests_per_day
    error_message = "api_requests_per_day is a whole number of at least 0."
  }
}

variable "set_api_gateway_log_role" {
  description = "Whether this environment sets the role with which API Gateway writes logs. An account and region have one: false if it is already set."
  type        = bool
  default     = true
  nullable    = false
}

variable "waf" {
  description = "Whether the API has a firewall (AWS WAF)."
  type        = bool
  default     = true
  nullable    = false
}

variable "waf_requests_per_address" {
  description = "Number of requests of one address within five minutes above which the firewall blocks it."
  type        = number
  default     = 30000
  nullable    = false

  validation {
    condition     = var.waf_requests_per_address >= 100 && var.waf_requests_per_address <= 2000000000 && floor(var.waf_requests_per_address) == var.waf_requests_per_address
    error_message = "waf_requests_per_address is a whole number between 100 and 2000000000."
  }
}

# --- Alarms -------------------------------------------------------------------------------------------------------

variable "lag_alarm_seconds" {
  description = "Seconds between a transaction and its decision above which an alarm goes off."
  type        = number
  default     = 60
  nullable    = false

  validation {
    condition     = var.lag_alarm_seconds >= 1 && var.lag_alarm_seconds <= 86400
    error_message = "lag_alarm_seconds is between 1 and 86400."
  }
}

variable "silence_alarm_minutes" {
  description = "Minutes without any transaction after which an alarm goes off. 0 for no alarm, for irregular traffic."
  type        = number
  default     = 0
  nullable    = false

  validation {
    condition     = var.silence_alarm_minutes >= 0 && var.silence_alarm_minutes <= 1440 && floor(var.silence_alarm_minutes) == var.silence_alarm_minutes
    error_message = "silence_alarm_minutes is a whole number between 0 and 1440."
  }
}
