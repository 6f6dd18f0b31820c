variable "function_name" {
  description = "The function's name, and its role's."
  type        = string
}

variable "description" {
  description = "What the function does."
  type        = string
}

variable "zip_path" {
  description = "The deployment package: a zip with the binary `bootstrap`."
  type        = string
}

variable "policy_json" {
  description = "What the function may do beside logging and tracing."
  type        = string
}

variable "environment" {
  description = "Environment variables."
  type        = map(string)
}

variable "kms_key_arn" {
  description = "The key of the log group and the environment variables."
  type        = string
}

variable "architecture" {
  description = "What the binary was built for."
  type        = string
  default     = "arm64"

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "architecture must be arm64 or x86_64."
  }
}

variable "memory_size_mb" {
  description = "Memory, in MB; processor time comes with it."
  type        = number
  default     = 512
}

variable "timeout_seconds" {
  description = "How long one invocation may take."
  type        = number
  default     = 60
}

variable "reserved_concurrent_executions" {
  description = "The most executions at once, which are also set aside for this function; -1: the account's."
  type        = number
  default     = -1
}

variable "provisioned_concurrent_executions" {
  description = "Executions that are kept warm; 0: none."
  type        = number
  default     = 0
}

variable "log_retention_days" {
  description = "How long the log is kept."
  type        = number
  default     = 90
}
