"""The local AWS: moto's server, and what our system needs of AWS that moto does not do.

`python -m infra.moto --port N` serves it until it is stopped; nothing persists. What it adds to moto is listed in
`infra.moto.extension.EXTENSIONS`, each call with its reason. None of that is proof of how AWS behaves: it is how we
read AWS's documentation, written down so that our own code can be run.
"""
