# The function `model`: the steps of retraining that are short calls instead of jobs.

resource "aws_lambda_function" "model" {
  # checkov:skip=CKV_AWS_272:Lambda signs zip files only; an image is named by an immutable tag.
  function_name = "${local.prefix}-model"
  description   = "Reads the verdict, registers the model, moves the endpoint to it."
  role          = aws_iam_role.model.arn
  package_type  = "Image"
  image_uri     = local.images["lambda"]
  architectures = ["x86_64"]
  timeout       = 60
  memory_size   = 512
  kms_key_arn   = aws_kms_key.data.arn

  reserved_concurrent_executions = var.model_reserved_concurrency

  image_config {
    command = ["pipelines.sagemaker.handler.handle"]
  }

  environment {
    variables = local.pipeline_environment
  }

  vpc_config {
    subnet_ids         = local.private_subnet_ids
    security_group_ids = [aws_security_group.workloads.id]
  }

  # There are no asynchronous calls of this function. If one is made and fails, its event is kept here.
  dead_letter_config {
    target_arn = aws_sqs_queue.queues["abandoned"].arn
  }

  tracing_config {
    mode = var.tracing ? "Active" : "PassThrough"
  }

  depends_on = [aws_cloudwatch_log_group.model, aws_iam_role_policy.model]
}

locals {
  # Environment of jobs and of the function `model`. The day and the execution come from the state machine.
  pipeline_environment = {
    CARDWATCH_HOME                = "/tmp/cardwatch"
    CARDWATCH_LOG_FORMAT          = "json"
    CARDWATCH_DATA_BUCKET         = module.data_bucket.name
    CARDWATCH_ENDPOINT            = local.endpoint_name
    CARDWATCH_EVENT_BUS           = aws_cloudwatch_event_bus.cardwatch.name
    CARDWATCH_MODEL_PACKAGE_GROUP = aws_sagemaker_model_package_group.models.model_package_group_name
  }
}

resource "aws_cloudwatch_log_group" "model" {
  name              = "/aws/lambda/${local.prefix}-model"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.logs.arn
}

resource "aws_iam_role" "model" {
  name               = "${local.prefix}-model"
  description        = "The function model: registers what passed the gate and moves the endpoint to it."
  assume_role_policy = data.aws_iam_policy_document.lambda_trust.json
}

resource "aws_iam_role_policy" "model" {
  name   = "model"
  role   = aws_iam_role.model.id
  policy = data.aws_iam_policy_document.model.json
}

data "aws_iam_policy_document" "model" {
  source_policy_documents = [
    data.aws_iam_policy_document.pull["scoring"].json, # SageMaker requires that the registering role may read the image
    data.aws_iam_policy_document.function_network.json,
    data.aws_iam_policy_document.use_data_key.json,
    data.aws_iam_policy_document.look_at_models.json,
  ]

  statement {
    sid     = "ReadResults"
    actions = ["s3:GetObject"]
    resources = concat(
      [for prefix in ["models", "progress", "training"] : "${module.data_bucket.arn}/${prefix}/*"],
      local.first_model_arns,
    )
  }

  statement {
    sid       = "WriteResults"
    actions   = ["s3:PutObject"]
    resources = [for prefix in ["models", "progress"] : "${module.data_bucket.arn}/${prefix}/*"]
  }

  statement {
    sid       = "ListResults"
    actions   = ["s3:ListBucket"]
    resources = [module.data_bucket.arn]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = [for prefix in ["models", "progress", "training"] : "${prefix}/*"]
    }
  }

  statement {
    sid       = "Register"
    actions   = ["sagemaker:AddTags", "sagemaker:CreateModelPackage"]
    resources = local.model_package_arns
  }

  statement {
    sid = "MoveEndpoint"
    actions = [
      "sagemaker:AddTags",
      "sagemaker:CreateEndpointConfig",
      "sagemaker:CreateModel",
      "sagemaker:UpdateEndpoint",
    ]
    resources = local.deployed_arns
  }

  statement {
    sid       = "NameAlarmsForRollback"
    actions   = ["cloudwatch:DescribeAlarms"]
    resources = [for alarm in local.rollback_alarms : "${local.arn_of["cloudwatch"]}:alarm:${alarm}"]
  }

  statement {
    sid       = "HandRoleToModels"
    actions   = ["iam:PassRole"]
    resources = [aws_iam_role.scoring.arn]

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["sagemaker.amazonaws.com"]
    }
  }

  statement {
    sid       = "WriteLogs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.model.arn}:*"]
  }

  statement {
    sid       = "TellOfAFailedAsynchronousCall"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.queues["abandoned"].arn]
  }
}
