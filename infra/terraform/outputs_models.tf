# Values of scoring, monitoring and retraining.

output "endpoint_name" {
  description = "Name of the SageMaker endpoint for scoring."
  value       = aws_sagemaker_endpoint.scoring.name
}

output "model_package_group" {
  description = "Name of the model package group of all models that passed the gate."
  value       = aws_sagemaker_model_package_group.models.model_package_group_name
}

output "event_bus" {
  description = "Name of the event bus that gets drift events."
  value       = aws_cloudwatch_event_bus.cardwatch.name
}

output "daily_state_machine_arn" {
  description = "ARN of the state machine that archives and monitors a day."
  value       = aws_sfn_state_machine.daily.arn
}

output "retrain_state_machine_arn" {
  description = "ARN of the state machine that fits, evaluates, registers and rolls out a challenger."
  value       = aws_sfn_state_machine.retrain.arn
}

output "backfill_application_id" {
  description = "ID of the EMR Serverless application for backfills."
  value       = aws_emrserverless_application.backfill.id
}

output "backfill_role_arn" {
  description = "ARN of the role of backfill jobs."
  value       = aws_iam_role.backfill.arn
}

output "dashboard_name" {
  description = "Name of the CloudWatch dashboard."
  value       = aws_cloudwatch_dashboard.cardwatch.dashboard_name
}

output "scoring_image" {
  description = "URI of the image that serves models. The first champion is registered with it."
  value       = local.images["scoring"]
}
