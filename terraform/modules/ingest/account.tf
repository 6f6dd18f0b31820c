# API Gateway writes access logs by one role a region and account, which may already be there.


resource "aws_iam_role" "account" {
  count = var.manage_account_logging_role ? 1 : 0

  name               = "${var.name}-access-logs"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

# API Gateway refuses a role that may do less than AWS's own policy.
resource "aws_iam_role_policy_attachment" "account" {
  count = var.manage_account_logging_role ? 1 : 0

  role       = aws_iam_role.account[0].name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
}

resource "aws_api_gateway_account" "this" {
  count = var.manage_account_logging_role ? 1 : 0

  cloudwatch_role_arn = aws_iam_role.account[0].arn
  # Else the region would go on naming a role that is gone.
  reset_on_delete = true

  depends_on = [aws_iam_role_policy_attachment.account]
}
