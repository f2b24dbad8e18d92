# Permissions of the state machines' jobs: one role per image, composed of shared policy documents.

locals {
  # The prefixes of the data bucket that each image's jobs read and write.
  job_roles = {
    archive = {
      description = "Writes a day of decisions and labels into the archive and builds the reference table."
      reads       = ["archive", "decisions", "labels", "progress", "tables"]
      writes      = ["archive", "progress", "tables"]
    }
    monitor = {
      description = "Watches an archived day and tells the bus of drift."
      reads       = ["archive", "capture", "labels", "models", "progress", "reports", "tables"]
      writes      = ["progress", "reports"]
    }
    pipelines = {
      description = "Assembles a training set, fits a challenger and judges it."
      reads       = ["archive", "labels", "models", "progress", "tables", "training"]
      writes      = ["models", "progress", "reports", "training"]
    }
  }

  # SageMaker fixes the names of these groups. All jobs of an account and region share them.
  job_log_groups = { processing = "/aws/sagemaker/ProcessingJobs", training = "/aws/sagemaker/TrainingJobs" }
}

resource "aws_iam_role" "job" {
  for_each = local.job_roles

  name               = "${local.prefix}-job-${each.key}"
  description        = each.value.description
  assume_role_policy = data.aws_iam_policy_document.service_trust["sagemaker"].json
}

resource "aws_iam_role_policy" "job" {
  for_each = local.job_roles

  name   = "job"
  role   = aws_iam_role.job[each.key].id
  policy = data.aws_iam_policy_document.job[each.key].json
}

data "aws_iam_policy_document" "job" {
  for_each = local.job_roles

  source_policy_documents = concat(
    [
      data.aws_iam_policy_document.pull[each.key].json,
      data.aws_iam_policy_document.network_interfaces.json,
      data.aws_iam_policy_document.use_data_key.json,
      data.aws_iam_policy_document.look_at_models.json,
    ],
    each.key == "monitor" ? [data.aws_iam_policy_document.tell_of_drift.json] : [],
  )

  statement {
    sid     = "Read"
    actions = ["s3:GetObject"]
    resources = concat(
      [for prefix in each.value.reads : "${module.data_bucket.arn}/${prefix}/*"],
      contains(each.value.reads, "models") ? local.first_model_arns : [],
    )
  }

  statement {
    sid       = "Write"
    actions   = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:PutObject"]
    resources = [for prefix in each.value.writes : "${module.data_bucket.arn}/${prefix}/*"]
  }

  statement {
    sid       = "List"
    actions   = ["s3:ListBucket"]
    resources = [module.data_bucket.arn]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = [for prefix in setunion(each.value.reads, each.value.writes) : "${prefix}/*"]
    }
  }

  statement {
    sid     = "WriteLogs"
    actions = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    resources = [
      for group in values(local.job_log_groups) : "${local.arn_of["logs"]}:log-group:${group}:*"
    ]
  }
}

resource "aws_cloudwatch_log_group" "jobs" {
  for_each = var.own_job_log_groups ? local.job_log_groups : {}

  name              = each.value
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.logs.arn
}

# --- Shared policy documents --------------------------------------------------------------------------------------

data "aws_iam_policy_document" "pull" {
  for_each = toset(["archive", "monitor", "pipelines", "scoring"])

  statement {
    sid       = "PullImage"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = ["arn:${local.partition}:ecr:${var.region}:${local.account_id}:repository/${local.prefix}-${each.key}"]
  }

  statement {
    sid       = "LogInToRegistry" # cannot be restricted to a resource
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }
}

data "aws_iam_policy_document" "network_interfaces" {
  statement {
    sid     = "HaveInterfaces"
    actions = ["ec2:CreateNetworkInterface"]
    resources = concat(
      ["${local.arn_of["ec2"]}:network-interface/*"],
      [for subnet in local.private_subnet_ids : "${local.arn_of["ec2"]}:subnet/${subnet}"],
      ["${local.arn_of["ec2"]}:security-group/${aws_security_group.workloads.id}"],
    )
  }

  statement {
    sid = "UseAndRemoveInterfaces"
    actions = [
      "ec2:CreateNetworkInterfacePermission",
      "ec2:DeleteNetworkInterface",
      "ec2:DeleteNetworkInterfacePermission",
    ]
    resources = ["${local.arn_of["ec2"]}:network-interface/*"]

    condition {
      test     = "ArnEquals"
      variable = "ec2:Subnet"
      values   = [for subnet in local.private_subnet_ids : "${local.arn_of["ec2"]}:subnet/${subnet}"]
    }
  }

  statement {
    sid = "SeeNetwork" # cannot be restricted to resources
    actions = [
      "ec2:DescribeDhcpOptions",
      "ec2:DescribeNetworkInterfaces",
      "ec2:DescribeSecurityGroups",
      "ec2:DescribeSubnets",
      "ec2:DescribeVpcs",
    ]
    resources = ["*"]
  }
}

data "aws_iam_policy_document" "use_data_key" {
  statement {
    sid       = "UseKey"
    actions   = ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"]
    resources = [aws_kms_key.data.arn]
  }

  # For the volumes of instances: grants only to AWS resources.
  statement {
    sid       = "LendKeyForVolumes"
    actions   = ["kms:CreateGrant"]
    resources = [aws_kms_key.data.arn]

    condition {
      test     = "Bool"
      variable = "kms:GrantIsForAWSResource"
      values   = ["true"]
    }
  }
}

data "aws_iam_policy_document" "look_at_models" {
  statement {
    sid = "LookAtModels"
    actions = [
      "sagemaker:DescribeEndpoint",
      "sagemaker:DescribeEndpointConfig",
      "sagemaker:DescribeModel",
      "sagemaker:DescribeModelPackage",
      "sagemaker:ListModelPackages",
    ]
    resources = concat(local.model_package_arns, local.deployed_arns)
  }
}

data "aws_iam_policy_document" "tell_of_drift" {
  statement {
    sid       = "TellOfDrift"
    actions   = ["events:PutEvents"]
    resources = [aws_cloudwatch_event_bus.cardwatch.arn]

    condition {
      test     = "StringEquals"
      variable = "events:source"
      values   = ["cardwatch"]
    }
  }
}

locals {
  # The endpoint, and the models and configurations that the pipeline creates for it.
  deployed_arns = [
    "${local.arn_of["sagemaker"]}:endpoint/${local.endpoint_name}",
    "${local.arn_of["sagemaker"]}:endpoint-config/${local.prefix}-*",
    "${local.arn_of["sagemaker"]}:model/${local.prefix}-*",
  ]
}
