-- Run at the first start: one database per service.
CREATE DATABASE mlflow;
CREATE DATABASE prefect;
CREATE DATABASE archive;
