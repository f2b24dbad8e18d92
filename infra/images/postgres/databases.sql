-- On the first start only: a database for each who keeps something here.
CREATE DATABASE mlflow;
CREATE DATABASE prefect;
CREATE DATABASE archive;
