# The two state machines. A job state runs the entry point of the corresponding Prefect task.
# JSONPath instead of JSONata: moto executes JSONata only with a Java runtime.

locals {
  # --- Jobs: common settings --------------------------------------------------------------------------------------

  job_environment = merge(local.pipeline_environment, {
    AWS_REGION              = var.region
    AWS_DEFAULT_REGION      = var.region
    "CARDWATCH_AS_OF_DAY.$" = "$.day"
    "CARDWATCH_EXECUTION.$" = "$$.Execution.Name"
  })

  job_tags = [for key, value in local.tags : { Key = key, Value = value }]

  job_network = {
    Subnets          = local.private_subnet_ids
    SecurityGroupIds = [aws_security_group.workloads.id]
  }

  # A job's name is unique and has at most 63 characters: too short for the execution's name or a complete UUID.
  job_name_suffix = "States.ArrayGetItem(States.StringSplit(States.UUID(), '-'), 0)"

  job_steps = {
    Archive  = { image = "archive", arguments = ["services.archive.aws.daily_job"] }
    Watch    = { image = "monitor", arguments = ["services.monitor.aws.daily_job"] }
    Assemble = { image = "pipelines", arguments = ["pipelines.sagemaker", "assemble"] }
    Judge    = { image = "pipelines", arguments = ["pipelines.sagemaker", "judge"] }
  }

  job_seconds = var.job_hours * 3600

  on_failure = [{ ErrorEquals = ["States.ALL"], ResultPath = "$.error", Next = "Tell" }]
  retry_jobs = [{ ErrorEquals = ["SageMaker.AmazonSageMakerException"], IntervalSeconds = 30, MaxAttempts = 3, BackoffRate = 2 }]
  retry_lambda = [{
    ErrorEquals = [
      "Lambda.AWSLambdaException", "Lambda.SdkClientException", "Lambda.ServiceException", "Lambda.TooManyRequestsException",
    ]
    IntervalSeconds = 5, MaxAttempts = 4, BackoffRate = 2
  }]

  # --- States: jobs -----------------------------------------------------------------------------------------------

  # The state's output is its input. The results of a job are in the bucket.
  job_states = {
    for step, job in local.job_steps : step => {
      Type     = "Task"
      Resource = "arn:${local.partition}:states:::sagemaker:createProcessingJob.sync"
      Parameters = {
        "ProcessingJobName.$" = "States.Format('${local.prefix}-${lower(step)}-{}-{}', ${local.job_name_suffix}, ${local.job_name_suffix})"
        RoleArn               = aws_iam_role.job[job.image].arn
        Environment           = local.job_environment
        AppSpecification = {
          ImageUri            = local.images[job.image]
          ContainerEntrypoint = ["python", "-m"]
          ContainerArguments  = job.arguments
        }
        ProcessingResources = {
          ClusterConfig = {
            InstanceCount  = 1
            InstanceType   = var.job_instance_type
            VolumeSizeInGB = var.job_volume_gb
            VolumeKmsKeyId = aws_kms_key.data.arn
          }
        }
        NetworkConfig     = { EnableNetworkIsolation = false, VpcConfig = local.job_network }
        StoppingCondition = { MaxRuntimeInSeconds = local.job_seconds }
        Tags              = local.job_tags
      }
      ResultPath     = null
      TimeoutSeconds = local.job_seconds + 1800 # time to allocate an instance and pull its image
      Retry          = local.retry_jobs
      Catch          = local.on_failure
    }
  }

  fit_state = {
    Type     = "Task"
    Resource = "arn:${local.partition}:states:::sagemaker:createTrainingJob.sync"
    Parameters = {
      "TrainingJobName.$" = "States.Format('${local.prefix}-fit-{}-{}', ${local.job_name_suffix}, ${local.job_name_suffix})"
      RoleArn             = aws_iam_role.job["pipelines"].arn
      Environment         = local.job_environment
      AlgorithmSpecification = {
        TrainingImage       = local.images["pipelines"]
        TrainingInputMode   = "File"
        ContainerEntrypoint = ["python", "-m"]
        ContainerArguments  = ["pipelines.sagemaker", "fit"]
      }
      OutputDataConfig = {
        "S3OutputPath.$" = "States.Format('s3://${module.data_bucket.name}/models/{}', $$.Execution.Name)"
        KmsKeyId         = aws_kms_key.data.arn
      }
      ResourceConfig = {
        InstanceCount  = 1
        InstanceType   = var.training_instance_type
        VolumeSizeInGB = var.job_volume_gb
        VolumeKmsKeyId = aws_kms_key.data.arn
      }
      VpcConfig         = local.job_network
      StoppingCondition = { MaxRuntimeInSeconds = local.job_seconds }
      Tags              = local.job_tags
    }
    ResultSelector = { "model_data_url.$" = "$.ModelArtifacts.S3ModelArtifacts" }
    ResultPath     = "$.fit"
    TimeoutSeconds = local.job_seconds + 1800
    Retry          = local.retry_jobs
    Catch          = local.on_failure
    Next           = "Judge"
  }

  # --- States: calls of the function `model` ----------------------------------------------------------------------

  # Further parameters of an action, and the path of its result: see pipelines/sagemaker/actions.py.
  model_calls = {
    Verdict = {
      payload = { action = "verdict" }
      answer  = { "promoted.$" = "$.Payload.promoted", "reasons.$" = "$.Payload.reasons" }
      path    = "$.verdict"
    }
    Register = {
      payload = {
        action             = "register"
        "reasons.$"        = "$.reasons"
        "model_data_url.$" = "$.fit.model_data_url"
        image              = local.images["scoring"]
        manual_approval    = var.manual_approval
      }
      answer = { "arn.$" = "$.Payload.model_package_arn" }
      path   = "$.package"
    }
    UpdateEndpoint = {
      payload = {
        action                = "update"
        "model_package_arn.$" = "$.package.arn"
        scoring = {
          image           = local.images["scoring"]
          role            = aws_iam_role.scoring.arn
          environment     = local.model_environment
          subnets         = local.private_subnet_ids
          security_groups = [aws_security_group.workloads.id]
          kms_key         = aws_kms_key.data.arn
          alarms          = local.rollback_alarms
        }
      }
      answer = { "endpoint_config.$" = "$.Payload.endpoint_config" }
      path   = "$.update"
    }
    AskEndpoint = {
      payload = { action = "status", "endpoint_config.$" = "$.update.endpoint_config" }
      answer  = { "status.$" = "$.Payload.status" }
      path    = "$.endpoint"
    }
  }

  model_states = {
    for step, call in local.model_calls : step => {
      Type     = "Task"
      Resource = "arn:${local.partition}:states:::lambda:invoke"
      Parameters = {
        FunctionName = aws_lambda_function.model.function_name
        Payload      = merge(call.payload, { "execution.$" = "$$.Execution.Name" })
      }
      ResultSelector = call.answer
      ResultPath     = call.path
      TimeoutSeconds = 120
      Retry          = local.retry_lambda
      Catch          = local.on_failure
    }
  }

  # --- States: failures -------------------------------------------------------------------------------------------

  failure_states = {
    Tell = {
      Type     = "Task"
      Resource = "arn:${local.partition}:states:::sns:publish"
      Parameters = {
        TopicArn    = aws_sns_topic.alarms.arn
        Subject     = "${local.prefix}: a state machine failed"
        "Message.$" = "States.Format('{} failed: {}. {}', $$.Execution.Id, $.error.Error, $.error.Cause)"
      }
      ResultPath = null
      Catch      = [{ ErrorEquals = ["States.ALL"], ResultPath = "$.untold", Next = "Failed" }]
      Next       = "Failed"
    }
    # Names that begin with "States." are reserved.
    Failed = { Type = "Fail", Error = "Cardwatch.StepFailed", CausePath = "$.error.Cause" }
  }

  # --- State machines ---------------------------------------------------------------------------------------------

  # Starts late on the day that it processes, and waits until the last records of the day have arrived.
  daily = {
    Comment = "Archive a day and watch it."
    StartAt = "DayGiven?"
    States = merge(local.failure_states, {
      "DayGiven?" = {
        Type    = "Choice"
        Choices = [{ Variable = "$.day", IsPresent = true, Next = "Archive" }]
        Default = "DayOfSchedule"
      }
      DayOfSchedule = {
        Type       = "Pass"
        Parameters = { "day.$" = "States.ArrayGetItem(States.StringSplit($.scheduled_at, 'T'), 0)" }
        Next       = "Settle"
      }
      Settle  = { Type = "Wait", Seconds = var.daily_settle_seconds, Next = "Archive" }
      Archive = merge(local.job_states["Archive"], { Next = "Watch" })
      Watch   = merge(local.job_states["Watch"], { Next = "Done" })
      Done    = { Type = "Succeed" }
    })
  }

  retrain = {
    Comment        = "Fit a challenger on what was known at the end of a day; if the gate lets it through, it answers."
    StartAt        = "Assemble"
    TimeoutSeconds = var.approval_hours * 3600 + 4 * local.job_seconds + var.rollout.timeout_seconds
    States = merge(local.failure_states, {
      Assemble = merge(local.job_states["Assemble"], { Next = "Fit" })
      Fit      = local.fit_state
      Judge    = merge(local.job_states["Judge"], { Next = "Verdict" })
      Verdict  = merge(local.model_states["Verdict"], { Next = "Promoted?" })
      "Promoted?" = {
        Type    = "Choice"
        Choices = [{ Variable = "$.verdict.promoted", BooleanEquals = true, Next = "Register" }]
        Default = "Kept"
      }
      Kept     = { Type = "Succeed", Comment = "The champion stays: the gate says why." }
      Register = merge(local.model_states["Register"], { Next = "AskApproval" })
      AskApproval = {
        Type           = "Task"
        Resource       = "arn:${local.partition}:states:::aws-sdk:sagemaker:describeModelPackage"
        Parameters     = { "ModelPackageName.$" = "$.package.arn" }
        ResultSelector = { "status.$" = "$.ModelApprovalStatus" }
        ResultPath     = "$.approval"
        Retry          = [{ ErrorEquals = ["States.TaskFailed"], IntervalSeconds = 5, MaxAttempts = 4, BackoffRate = 2 }]
        Catch          = local.on_failure
        Next           = "Approved?"
      }
      "Approved?" = {
        Type = "Choice"
        Choices = [
          { Variable = "$.approval.status", StringEquals = "Approved", Next = "UpdateEndpoint" },
          { Variable = "$.approval.status", StringEquals = "Rejected", Next = "Kept" },
        ]
        Default = "AwaitApproval"
      }
      AwaitApproval  = { Type = "Wait", Seconds = var.approval_poll_seconds, Next = "AskApproval" }
      UpdateEndpoint = merge(local.model_states["UpdateEndpoint"], { Next = "AwaitEndpoint" })
      AwaitEndpoint  = { Type = "Wait", Seconds = var.endpoint_poll_seconds, Next = "AskEndpoint" }
      AskEndpoint    = merge(local.model_states["AskEndpoint"], { Next = "InService?" })
      "InService?" = {
        Type = "Choice"
        Choices = [
          { Variable = "$.endpoint.status", StringEquals = "InService", Next = "Done" },
          { Variable = "$.endpoint.status", StringEquals = "Updating", Next = "AwaitEndpoint" },
        ]
        Default = "NotInService"
      }
      NotInService = {
        Type = "Pass"
        Parameters = {
          Error     = "NotInService"
          "Cause.$" = "States.Format('the endpoint did not take {}: {}', $.update.endpoint_config, $.endpoint.status)"
        }
        ResultPath = "$.error"
        Next       = "Tell"
      }
      Done = { Type = "Succeed" }
    })
  }
}

resource "aws_sfn_state_machine" "daily" {
  name       = "${local.prefix}-daily"
  role_arn   = aws_iam_role.workflow["daily"].arn
  definition = jsonencode(local.daily)

  logging_configuration {
    level                  = "ALL"
    include_execution_data = true
    log_destination        = "${aws_cloudwatch_log_group.workflow["daily"].arn}:*"
  }

  tracing_configuration {
    enabled = var.tracing
  }

  depends_on = [aws_iam_role_policy.workflow]
}

resource "aws_sfn_state_machine" "retrain" {
  name       = "${local.prefix}-retrain"
  role_arn   = aws_iam_role.workflow["retrain"].arn
  definition = jsonencode(local.retrain)

  logging_configuration {
    level                  = "ALL"
    include_execution_data = true
    log_destination        = "${aws_cloudwatch_log_group.workflow["retrain"].arn}:*"
  }

  tracing_configuration {
    enabled = var.tracing
  }

  depends_on = [aws_iam_role_policy.workflow]
}

# --- Roles --------------------------------------------------------------------------------------------------------

locals {
  # The images and kinds of the jobs that each state machine starts.
  workflows = {
    daily   = { images = ["archive", "monitor"], jobs = { processing-job = "Processing" } }
    retrain = { images = ["pipelines"], jobs = { processing-job = "Processing", training-job = "Training" } }
  }
}

resource "aws_cloudwatch_log_group" "workflow" {
  for_each = local.workflows

  name              = "/aws/vendedlogs/states/${local.prefix}-${each.key}" # names under vendedlogs need no entry in a resource policy
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.logs.arn
}

resource "aws_iam_role" "workflow" {
  for_each = local.workflows

  name               = "${local.prefix}-${each.key}"
  description        = "The state machine ${each.key}: starts its jobs, calls the function model, tells of failures."
  assume_role_policy = data.aws_iam_policy_document.workflow_trust[each.key].json
}

resource "aws_iam_role_policy" "workflow" {
  for_each = local.workflows

  name   = "workflow"
  role   = aws_iam_role.workflow[each.key].id
  policy = data.aws_iam_policy_document.workflow[each.key].json
}

data "aws_iam_policy_document" "workflow_trust" {
  for_each = local.workflows

  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["states.amazonaws.com"]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = ["${local.arn_of["states"]}:stateMachine:${local.prefix}-${each.key}"]
    }
  }
}

data "aws_iam_policy_document" "workflow" {
  for_each = local.workflows

  source_policy_documents = concat(
    [data.aws_iam_policy_document.use_data_key.json],
    each.key == "retrain" ? [data.aws_iam_policy_document.call_model.json] : [],
  )

  dynamic "statement" {
    for_each = each.value.jobs

    content {
      sid = "Run${statement.value}Jobs"
      actions = [
        "sagemaker:AddTags",
        "sagemaker:Create${statement.value}Job",
        "sagemaker:Describe${statement.value}Job",
        "sagemaker:ListTags",
        "sagemaker:Stop${statement.value}Job",
      ]
      resources = ["${local.arn_of["sagemaker"]}:${statement.key}/${local.prefix}-*"]
    }
  }

  # Step Functions uses a managed rule with a fixed name to detect the end of a job.
  statement {
    sid     = "HearOfJobsEnd"
    actions = ["events:DescribeRule", "events:PutRule", "events:PutTargets"]
    resources = [
      for kind in values(each.value.jobs) :
      "${local.arn_of["events"]}:rule/StepFunctionsGetEventsForSageMaker${kind}JobsRule"
    ]
  }

  statement {
    sid       = "HandRolesToJobs"
    actions   = ["iam:PassRole"]
    resources = [for image in each.value.images : aws_iam_role.job[image].arn]

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["sagemaker.amazonaws.com"]
    }
  }

  statement {
    sid       = "TellOfFailure"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.alarms.arn]
  }

  statement {
    sid = "LogAndTrace" # cannot be restricted to resources
    actions = [
      "logs:CreateLogDelivery",
      "logs:DeleteLogDelivery",
      "logs:DescribeLogGroups",
      "logs:DescribeResourcePolicies",
      "logs:GetLogDelivery",
      "logs:ListLogDeliveries",
      "logs:PutResourcePolicy",
      "logs:UpdateLogDelivery",
      "xray:GetSamplingRules",
      "xray:GetSamplingTargets",
      "xray:PutTelemetryRecords",
      "xray:PutTraceSegments",
    ]
    resources = ["*"]
  }
}

data "aws_iam_policy_document" "call_model" {
  statement {
    sid       = "CallModel"
    actions   = ["lambda:InvokeFunction"]
    resources = [aws_lambda_function.model.arn]
  }

  statement {
    sid       = "AskApproval"
    actions   = ["sagemaker:DescribeModelPackage"]
    resources = local.model_package_arns
  }
}
