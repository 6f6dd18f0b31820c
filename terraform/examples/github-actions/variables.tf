variable "region" {
  description = "The AWS region of the state's bucket."
  type        = string
}

variable "subject" {
  description = "How GitHub names the repository to AWS: `repo:OWNER@ID/NAME@ID`, or `repo:OWNER/NAME` for one whose subjects are not immutable."
  type        = string

  validation {
    condition     = can(regex("^repo:[A-Za-z0-9._-]+(@[0-9]+)?/[A-Za-z0-9._-]+(@[0-9]+)?$", var.subject))
    error_message = "subject must be repo:OWNER@ID/NAME@ID or repo:OWNER/NAME, without wildcards."
  }
}

variable "environments" {
  description = "The environments that are deployed into this account, each with its stack's `name`."
  type        = map(string)
}

variable "state_bucket_name" {
  description = "The bucket for the state and the kept plans, which is made."
  type        = string
}
