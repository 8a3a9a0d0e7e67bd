"""`lookalike listen`: an HTTP endpoint that takes the events of OSS as Aliyun delivers them."""
