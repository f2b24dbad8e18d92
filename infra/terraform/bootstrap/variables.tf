# The same three as in infra/terraform, with the same values: names are made of them.

variable "name" {
  description = "What every name begins with, followed by the environment."
  type        = string
  default     = "cardwatch"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.name))
    error_message = "name is 3 to 20 lower-case letters, digits and hyphens, and begins with a letter."
  }
}

variable "environment" {
  description = "Which copy of the system this is; a name of its own for each in an account."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,11}$", var.environment))
    error_message = "environment is 2 to 12 lower-case letters and digits, and begins with a letter."
  }

  validation {
    condition     = length("${var.name}-${var.environment}") <= 21
    error_message = "name and environment have 20 characters together at most."
  }
}

variable "region" {
  description = "The AWS region that everything is in."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region looks like eu-central-1."
  }
}

variable "deletion_protection" {
  description = "Whether state, images and models survive a destroy: what is not empty refuses to be deleted."
  type        = bool
  default     = true
  nullable    = false
}

variable "images_kept" {
  description = "How many images each repository keeps, the newest."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.images_kept >= 2 && var.images_kept <= 1000 && floor(var.images_kept) == var.images_kept
    error_message = "images_kept is a whole number between 2 and 1000: one to run and one to go back to."
  }
}

variable "old_version_days" {
  description = "How long a state or a model that was overwritten or deleted can still be brought back."
  type        = number
  default     = 365
  nullable    = false

  validation {
    condition     = var.old_version_days >= 1 && var.old_version_days <= 3650 && floor(var.old_version_days) == var.old_version_days
    error_message = "old_version_days is a whole number between 1 and 3650."
  }
}

variable "access_log_bucket" {
  description = "The account's bucket for access logs, if it has one that lets S3 deliver to it; empty for none."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.access_log_bucket == "" || can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.access_log_bucket))
    error_message = "access_log_bucket is a bucket's name, or empty."
  }
}

variable "replicas" {
  description = "Buckets in another region that get a copy of every object, by whose copy it is: state, releases. They are versioned, and kms_key_arn is a key of their region."
  type = map(object({
    bucket_arn  = string
    kms_key_arn = string
  }))
  default  = {}
  nullable = false

  validation {
    condition     = length(setsubtract(keys(var.replicas), ["state", "releases"])) == 0
    error_message = "replicas has the keys state and releases only."
  }

  validation {
    condition     = alltrue([for replica in values(var.replicas) : can(regex("^arn:[a-z-]+:s3:::[a-z0-9.-]+$", replica.bucket_arn)) && can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", replica.kms_key_arn))])
    error_message = "replicas holds the ARN of a bucket and of a KMS key."
  }

  validation {
    condition     = alltrue([for replica in values(var.replicas) : !strcontains(replica.kms_key_arn, ":kms:${var.region}:")])
    error_message = "replicas are in another region: one in this region is lost with it."
  }
}
