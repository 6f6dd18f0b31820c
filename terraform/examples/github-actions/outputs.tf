output "github_environments" {
  description = "GitHub's environments, with the variables that each is to have."
  value = {
    for name, environment in local.trusted : name => {
      AWS_REGION   = var.region
      AWS_ROLE_ARN = name == environment ? aws_iam_role.apply[environment].arn : aws_iam_role.plan[environment].arn
      STATE_BUCKET = aws_s3_bucket.state.id
    }
  }
}
