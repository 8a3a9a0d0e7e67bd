"""The forms in which OSS tells of its objects, made into events.

Aliyun's pages, by their titles: "Configure event notification rules" (OSS; the events, and that SMQ carries them in
base64), "HttpEndpoint" (SMQ/MNS; the envelopes), "OSS events" (EventBridge), "Overview of OSS triggers" (Function
Compute), "Callback" (OSS; the body that the uploader writes).
"""

from producer.oss_events.deliveries import Delivery, Form, parse

__all__ = ["Delivery", "Form", "parse"]
