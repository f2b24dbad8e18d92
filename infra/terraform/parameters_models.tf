# Names and addresses of models and jobs. parameters.tf stores them with the others.
locals {
  model_parameters = {
    "endpoint/name"          = aws_sagemaker_endpoint.scoring.name
    "models/package-group"   = aws_sagemaker_model_package_group.models.model_package_group_name
    "events/bus"             = aws_cloudwatch_event_bus.cardwatch.name
    "state-machines/daily"   = aws_sfn_state_machine.daily.arn
    "state-machines/retrain" = aws_sfn_state_machine.retrain.arn
    "queues/unstarted"       = aws_sqs_queue.unstarted.url
    "backfill/application"   = aws_emrserverless_application.backfill.id
    "backfill/role"          = aws_iam_role.backfill.arn
  }
}
