# name, environment and region have the same values as in infra/terraform: names are derived from them.

variable "name" {
  description = "Prefix of the names of all resources, followed by the environment."
  type        = string
  default     = "cardwatch"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.name))
    error_message = "name is 3 to 20 lower-case letters, digits and hyphens, and begins with a letter."
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
    error_message = "name and environment have 20 characters together at most."
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

variable "deletion_protection" {
  description = "Whether a destroy fails instead of deleting state, images and models."
  type        = bool
  default     = true
  nullable    = false
}

variable "images_kept" {
  description = "Number of newest images that each repository keeps."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.images_kept >= 2 && var.images_kept <= 1000 && floor(var.images_kept) == var.images_kept
    error_message = "images_kept is a whole number between 2 and 1000: one to run and one to go back to."
  }
}

variable "old_version_days" {
  description = "Days for which an overwritten or deleted state or model can be restored."
  type        = number
  default     = 365
  nullable    = false

  validation {
    condition     = var.old_version_days >= 1 && var.old_version_days <= 3650 && floor(var.old_version_days) == var.old_version_days
    error_message = "old_version_days is a whole number between 1 and 3650."
  }
}

variable "access_log_bucket" {
  description = "Name of the account's bucket for access logs, to which S3 may deliver. Empty for no access logs."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.access_log_bucket == "" || can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.access_log_bucket))
    error_message = "access_log_bucket is a bucket's name, or empty."
  }
}

variable "replicas" {
  description = "Versioned buckets in another region that get a copy of every object, and KMS keys of that region, by source: state, releases."
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
