# The registry of all models that passed the gate, with their approval.

resource "aws_sagemaker_model_package_group" "models" {
  model_package_group_name        = local.prefix
  model_package_group_description = "Detectors of ${local.prefix} that passed the gate."
}

resource "aws_sagemaker_model_package_group_policy" "models" {
  model_package_group_name = aws_sagemaker_model_package_group.models.model_package_group_name
  resource_policy          = jsonencode(jsondecode(data.aws_iam_policy_document.models.json))
}

data "aws_iam_policy_document" "models" {
  statement {
    sid       = "PipelineRegisters"
    actions   = ["sagemaker:CreateModelPackage", "sagemaker:DescribeModelPackage", "sagemaker:ListModelPackages"]
    resources = local.model_package_arns

    principals {
      type        = "AWS"
      identifiers = [aws_iam_role.model.arn]
    }
  }

  # Other accounts, such as that of production, may read and copy models but not register them.
  dynamic "statement" {
    for_each = length(var.model_reader_accounts) == 0 ? [] : [var.model_reader_accounts]

    content {
      sid       = "ReadersRead"
      actions   = ["sagemaker:DescribeModelPackage", "sagemaker:DescribeModelPackageGroup", "sagemaker:ListModelPackages"]
      resources = local.model_package_arns

      principals {
        type        = "AWS"
        identifiers = [for account in statement.value : "arn:${local.partition}:iam::${account}:root"]
      }
    }
  }
}

locals {
  model_package_arns = [
    "${local.arn_of["sagemaker"]}:model-package-group/${local.prefix}",
    "${local.arn_of["sagemaker"]}:model-package/${local.prefix}/*",
  ]
}
