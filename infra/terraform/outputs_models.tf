# What commands and people need of scoring, watching and retraining.

output "endpoint_name" {
  description = "The SageMaker endpoint that scores."
  value       = aws_sagemaker_endpoint.scoring.name
}

output "model_package_group" {
  description = "The registry: every model that the gate let through."
  value       = aws_sagemaker_model_package_group.models.model_package_group_name
}

output "event_bus" {
  description = "The bus that is told of drift."
  value       = aws_cloudwatch_event_bus.cardwatch.name
}

output "daily_state_machine_arn" {
  description = "Archives and watches a day."
  value       = aws_sfn_state_machine.daily.arn
}

output "retrain_state_machine_arn" {
  description = "Fits, judges, registers and rolls out a challenger."
  value       = aws_sfn_state_machine.retrain.arn
}

output "backfill_application_id" {
  description = "The EMR Serverless application of the backfill."
  value       = aws_emrserverless_application.backfill.id
}

output "backfill_role_arn" {
  description = "The role that the backfill's jobs run as."
  value       = aws_iam_role.backfill.arn
}

output "dashboard_name" {
  description = "The CloudWatch dashboard."
  value       = aws_cloudwatch_dashboard.cardwatch.dashboard_name
}

output "scoring_image" {
  description = "The image that serves models: a first champion is registered with it."
  value       = local.images["scoring"]
}
