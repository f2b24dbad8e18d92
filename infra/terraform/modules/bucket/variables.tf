variable "name" {
  description = "Name of the bucket."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.name))
    error_message = "name is a valid name of an S3 bucket."
  }
}

variable "force_destroy" {
  description = "Whether a destroy deletes the bucket even if it is not empty."
  type        = bool
  nullable    = false
}

variable "sse_algorithm" {
  description = "Server-side encryption: aws:kms, or AES256 for S3's own keys."
  type        = string
  default     = "aws:kms"
  nullable    = false

  validation {
    condition     = contains(["aws:kms", "AES256"], var.sse_algorithm)
    error_message = "sse_algorithm is aws:kms or AES256."
  }
}

variable "kms_key_arn" {
  description = "ARN of the KMS key for aws:kms. Empty for AWS's key of S3."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.kms_key_arn == "" || can(regex("^arn:[a-z-]+:kms:", var.kms_key_arn))
    error_message = "kms_key_arn is the ARN of a KMS key, or empty."
  }
}

variable "lifecycle_rules" {
  description = "Lifecycle rules of prefixes, in their order. transitions: days by storage class."
  type = list(object({
    id              = string
    prefix          = string
    transitions     = optional(map(number), {})
    expiration_days = optional(number)
  }))
  default  = []
  nullable = false

  validation {
    condition     = alltrue([for rule in var.lifecycle_rules : endswith(rule.prefix, "/")])
    error_message = "lifecycle_rules has prefixes that end with a slash."
  }
}

variable "cleanup" {
  description = "The lifecycle rule of all objects: days until old versions, and if given current ones, are deleted."
  type = object({
    rule_id          = optional(string, "forget-old-versions")
    old_version_days = number
    expiration_days  = optional(number)
  })
  nullable = false

  validation {
    condition     = var.cleanup.old_version_days >= 1
    error_message = "cleanup keeps old versions for at least one day."
  }
}

variable "policy_documents" {
  description = "Policy documents, as JSON, that are added to the refusal of requests without TLS."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(var.policy_documents) <= 10
    error_message = "policy_documents has 10 documents at most."
  }
}

variable "access_log_bucket" {
  description = "Name of the bucket that gets the access logs. Empty for no access logs."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.access_log_bucket == "" || can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.access_log_bucket))
    error_message = "access_log_bucket is a bucket's name, or empty."
  }
}

variable "access_log_prefix" {
  description = "Key prefix of the access logs."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.access_log_prefix == "" || endswith(var.access_log_prefix, "/")
    error_message = "access_log_prefix ends with a slash, or is empty."
  }
}

variable "replication" {
  description = "Copies in another region, by the key of the copy, and what the role of replication needs."
  type = object({
    role_prefix     = string
    account_id      = string
    decrypt_key_arn = string
    replicas        = map(object({ bucket_arn = string, kms_key_arn = string }))
  })
  nullable = false

  validation {
    condition     = length(var.replication.replicas) <= 1
    error_message = "replication has one copy at most: S3 takes one configuration for each bucket."
  }
}
