"""The local AWS: moto's server with an extension that adds the AWS behaviour that our system needs and moto lacks.

`python -m infra.moto --port N` serves it until it is stopped; nothing is persisted. There is one module or package for
each AWS service. `infra.moto.patching` registers each added or replaced call with its reason; `infra.moto.extension`
imports all of them. The extension implements our reading of AWS's documentation. It does not prove how AWS behaves.
"""
