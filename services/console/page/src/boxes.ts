/**
 * The texts of the boxes: what each is for, why it is built so, what was rejected, and where that is written and tested.
 *
 * The facts are those of docs/whiteboard.md, docs/architecture.md, docs/decisions and docs/aws.md. Paths are relative to
 * the repository; tests/texts.test.ts holds that each of them exists.
 */

import type { BoxName } from "./frames.ts";

export interface Alternative {
  instead: string;
  because: string;
  /** Where the choice is written down. */
  page: string;
}

export interface BoxText {
  title: string;
  subtitle: string;
  does: string;
  why: string;
  rejected: Alternative[];
  failure: string;
  /** What follows if the process is killed or frozen, for the question before the action. */
  ifKilled: string;
  ifFrozen: string;
  runbook: string[];
  code: string[];
  tests: string[];
  /** What takes its place on AWS, and why. */
  aws: string;
}

export const BOX_TEXTS: Record<BoxName, BoxText> = {
  generator: {
    title: "Generator",
    subtitle: "simulated payments",
    does: "It simulates cards, merchants and fraudsters. It writes transactions as they occur, and labels when they become known, days later.",
    why: "Real card data cannot be shared. The simulation is a pure function of its seed, so that a run can be repeated and compared with the truth.",
    rejected: [
      {
        instead: "Marker records between the transactions to end a day",
        because: "Positions in the topic progress end a day, so that a record of transactions is always a transaction.",
        page: "docs/decisions/0003-progress-topic.md",
      },
      {
        instead: "A label for every transaction, whatever was decided",
        because: "A declined payment is never charged back. Labels for it would hide the problem that every bank has.",
        page: "docs/decisions/0022-selective-labels.md",
      },
    ],
    failure:
      "Nothing is lost: records that Kafka has acknowledged are in the log. The generator is no part of a real deployment.",
    ifKilled: "No new transactions arrive until it restarts. What is in the log is decided.",
    ifFrozen: "No new transactions arrive until it is resumed.",
    runbook: ["docs/runbook/labels-late.md", "docs/runbook/process-down.md"],
    code: ["cardwatch/simulation", "services/generator/sender.py"],
    tests: ["tests/unit/services/generator/test_generator.py", "tests/properties/test_simulation_properties.py"],
    aws: "It has no counterpart. The command cardwatch aws send sends simulated transactions from a laptop into Kinesis, and labels into S3.",
  },
  kafka: {
    title: "Kafka",
    subtitle: "the log of record",
    does: "It holds the topic transactions, from which everything else is derived, and the topics decisions, labels, dead-letters and progress. Transactions are keyed by card in a fixed number of partitions.",
    why: "One order per card makes features reproducible, and Kafka transactions make decisions exactly-once.",
    rejected: [
      {
        instead: "kafka-python as the only client",
        because:
          "It takes five times the processor time per record. It remains as the second client, which counts lost and repeated decisions independently.",
        page: "docs/decisions/0002-the-kafka-client.md",
      },
      {
        instead: "An installation of Kafka by the user",
        because: "Its jars are fetched by Maven coordinates and verified by SHA-256, and Java comes as a package.",
        page: "docs/decisions/0004-dependencies.md",
      },
    ],
    failure:
      "The worker waits and restarts from the committed offsets. No decision is made without the log. With three brokers, each of them may be lost.",
    ifKilled:
      "All services wait. After the broker has restarted they continue at their committed offsets, and nothing is lost or decided twice.",
    ifFrozen:
      "All services wait until it is resumed. A Kafka transaction that runs into its timeout is aborted and repeated.",
    runbook: ["docs/runbook/lag-growing.md", "docs/runbook/wrong-partition.md", "docs/runbook/process-down.md"],
    code: ["adapters/kafka/topics.py", "adapters/kafka/transactional_log.py", "infra/local_stack/kafka_cluster.py"],
    tests: ["tests/contract/test_kafka_clients.py", "tests/e2e/test_chaos.py", "tests/e2e/test_three_brokers.py"],
    aws: "Kinesis, keyed by card, or MSK Serverless. A shard is a partition: one order per card. Decisions go to a second stream, dead letters to SQS.",
  },
  stream: {
    title: "Stream worker",
    subtitle: "fold, score, commit",
    does: "It folds a batch of transactions through the feature kernel, sends one scoring request for the batch, applies the cost policy, commits decisions and offsets in one Kafka transaction, and then writes the card states. While a batch commits, the next one is folded and scored.",
    why: "The store may lag behind the log, but it is never ahead of it. A worker that is killed before the commit decides the batch again from the same states; one that is killed after it folds the gap without scoring.",
    rejected: [
      {
        instead: "Two producers that commit in turn",
        because: "They gain latency but no throughput, and are sound only under four further conditions.",
        page: "docs/decisions/0015-the-stream-at-speed.md",
      },
      {
        instead: "asyncio",
        because: "Both Kafka clients block.",
        page: "docs/decisions/0015-the-stream-at-speed.md",
      },
      {
        instead: "States beside the worker, as in Flink with RocksDB",
        because:
          "It saves the network for each state, which matters at a million transactions per second. But previews then need the worker of the card, and a moved partition moves its states first.",
        page: "docs/streaming.md",
      },
    ],
    failure:
      "Another worker takes the partitions after the session timeout of 6 s, or the same slot immediately when it restarts. A former owner that wakes up is refused twice: by the broker, and by the store's condition on applied.",
    ifKilled:
      "Decisions stop until it restarts. Its slot gets its partitions back immediately. Nothing is lost or decided twice.",
    ifFrozen:
      "Decisions stop. Another worker, if there is one, takes over after 6 s; when this one is resumed, its late write is refused.",
    runbook: ["docs/runbook/lag-growing.md", "docs/runbook/latency-budget-burning.md", "docs/runbook/dead-letters.md"],
    code: ["services/stream/worker.py", "cardwatch/features/kernel.py", "cardwatch/decision/cost_policy.py"],
    tests: [
      "tests/unit/services/stream/test_worker.py",
      "tests/unit/services/stream/test_pipelining.py",
      "tests/e2e/test_kills.py",
      "tests/e2e/test_zombie.py",
    ],
    aws: "Lambda from a container image, with one invocation per shard at a time, so that a card has one writer. In place of the Kafka transaction, the state of a card and its decision are one conditional write.",
  },
  store: {
    title: "Feature store",
    subtitle: "card states",
    does: "It stores one state of a fixed size (2.0 KB) per card and, per partition, the next offset to fold, which is called applied. LMDB, Redis and DynamoDB are supported.",
    why: "An update takes constant time and a state has constant size, whatever the history of the card. Writes are conditional on log positions, so that a former owner is refused and the store is never ahead.",
    rejected: [
      {
        instead: "SQLite, or RocksDB",
        because: "SQLite is slower than LMDB, and RocksDB can be used by one process only.",
        page: "docs/decisions/0004-dependencies.md",
      },
      {
        instead: "The card's sequence number as the condition of a write",
        because: "A sequence restarts after a year without transactions. Offsets only grow.",
        page: "docs/decisions/0008-feature-stores.md",
      },
    ],
    failure: "The worker waits for it. A lost store is folded again from the log, or filled from a snapshot.",
    ifKilled: "The worker waits until the store is back, and folds what the store has lost from the log.",
    ifFrozen: "The worker waits until the store is resumed.",
    runbook: ["docs/runbook/store-behind.md"],
    code: ["adapters/feature_store/lmdb.py", "adapters/feature_store/redis.py", "cardwatch/features/state.py"],
    tests: [
      "tests/contract/test_feature_store.py",
      "tests/properties/test_store_properties.py",
      "tests/unit/adapters/feature_store/test_refold.py",
    ],
    aws: "DynamoDB, one item per card. Of the stores it is the only one that a function can reach and that survives the loss of a zone.",
  },
  scoring: {
    title: "Scoring service",
    subtitle: "scores and reasons",
    does: "It takes feature rows with their schema hash and returns margin, calibrated probability, reasons and the challenger's shadow scores. A payment switch can ask it for a preview of one transaction, which changes nothing.",
    why: "It is stateless, so any number of processes may run and any of them may fail. Trees are flat arrays that our own kernel evaluates with the same bits as XGBoost, and a swap of the model is one assignment.",
    rejected: [
      {
        instead: "ONNX Runtime, Treelite or lleaves",
        because: "They give other bits than XGBoost, or take ten times as long for one row.",
        page: "docs/decisions/0009-scoring.md",
      },
      {
        instead: "Plain uvicorn",
        because: "BentoML supervises workers, adds up their metrics and builds images.",
        page: "docs/decisions/0009-scoring.md",
      },
      {
        instead: "A score of a default model when the right one is missing",
        because: "There is never a made-up score. The rules decide, and the decision says so.",
        page: "docs/architecture.md",
      },
    ],
    failure:
      "After the worker's deadline the rules decide, and the decision is marked degraded with the reason. A model whose digest is wrong, or that was trained for other features, is refused, and the previous one keeps serving.",
    ifKilled: "The rules decide, and decisions are marked degraded, until it answers again.",
    ifFrozen: "The worker waits for its deadline of 5 s, and then the rules decide until it is resumed.",
    runbook: ["docs/runbook/decisions-degraded.md", "docs/runbook/no-champion.md", "docs/runbook/scoring-refuses.md"],
    code: ["services/scoring/service.py", "services/scoring/model/manager.py", "cardwatch/detector"],
    tests: [
      "tests/unit/services/scoring/test_model_manager.py",
      "tests/integration/test_scoring_faults.py",
      "tests/properties/test_trees_properties.py",
    ],
    aws: "The same image behind a SageMaker endpoint, which adds scaling, shadow variants, data capture and rollback. Previews go through API Gateway and a Lambda.",
  },
  archive: {
    title: "Archive",
    subtitle: "Parquet, day tables",
    does: "It writes transactions, decisions and labels to Parquet by event date, with an index in SQL. At the end of each day it builds the reference table of merchants and devices for the next day.",
    why: "Data that are not keyed by card cannot be part of a card's state. A table is immutable and named by its content, so each decision can record which table it used.",
    rejected: [
      {
        instead: "SQL written twice, or an object-relational mapper",
        because:
          "Each dialect lacks something, and rows are data here. SQLAlchemy Core defines the tables once for SQLite and PostgreSQL.",
        page: "docs/decisions/0010-containers-and-monitoring.md",
      },
      {
        instead: "Features of merchants and devices in the stream",
        because:
          "There would be a second truth beside the log. A table is a pure function of the log before its day, whatever order records arrive in.",
        page: "docs/decisions/0016-features-across-cards.md",
      },
    ],
    failure:
      "It restarts at the positions in its index and removes files that the index does not name. Decisions use the last table for 30 days; after that the rules decide, and the decision is marked degraded.",
    ifKilled: "No day is closed until it restarts. Decisions continue with the last reference table.",
    ifFrozen: "No day is closed until it is resumed. Decisions continue with the last reference table.",
    runbook: ["docs/runbook/archive-behind.md"],
    code: ["services/archive/archiver.py", "services/archive/day_closing.py", "cardwatch/features/reference_table.py"],
    tests: [
      "tests/unit/services/archive/test_archiver.py",
      "tests/integration/test_day_closing.py",
      "tests/properties/test_reference_table_properties.py",
    ],
    aws: "SageMaker processing jobs in a Step Functions state machine, started by a schedule. Files go to S3 in the same layout.",
  },
  monitor: {
    title: "Monitor",
    subtitle: "drift, performance",
    does: "After each day it checks the data contract, compares feature rows and margins with the champion's drift reference, and measures performance on matured labels. The assessment is stable, drift suspected or decayed.",
    why: "Data drift is known immediately but may be harmless. A loss of performance is proof, but it is known days later. Drift alone never triggers retraining; together with drift, a smaller loss suffices.",
    rejected: [
      {
        instead: "Retraining whenever data drift",
        because: "Customers may change their habits while fraud is detected as before.",
        page: "docs/decisions/0005-when-a-model-has-decayed.md",
      },
      {
        instead: "Retraining on the first loss alone",
        because:
          "A week has about 80 frauds, so that average precision has a standard error of 0.05. Without other evidence the decision is late or often wrong.",
        page: "docs/decisions/0005-when-a-model-has-decayed.md",
      },
      {
        instead: "Imputed outcomes for declined payments",
        because: "The model would grade itself where it is most confident. Censored rows are left out.",
        page: "docs/decisions/0022-selective-labels.md",
      },
    ],
    failure: "No day is skipped: it continues at its position in the topic progress.",
    ifKilled: "Days are not assessed until it restarts. Decisions are not affected.",
    ifFrozen: "Days are not assessed until it is resumed. Decisions are not affected.",
    runbook: ["docs/runbook/model-decayed.md", "docs/runbook/data-quarantined.md", "docs/runbook/monitor-behind.md"],
    code: ["services/monitor/monitor.py", "cardwatch/drift/assessment.py", "monitoring/feature_drift.py"],
    tests: [
      "tests/unit/services/monitor/test_monitor_loop.py",
      "tests/unit/cardwatch/drift/test_assessment.py",
      "tests/properties/test_drift_policy_properties.py",
    ],
    aws: "A SageMaker processing job in the daily state machine. SageMaker Model Monitor is closed to new customers.",
  },
  pipelines: {
    title: "Retraining",
    subtitle: "train and judge",
    does: "It replays the archived log through the same kernel with labels as they were known then, trains a challenger, and evaluates champion and challenger on days that neither was trained on. The gate promotes only a challenger that certainly saves money and harms no slice.",
    why: "Training data come from the same function as live features, so they cannot disagree. A verdict is a pure function with reasons, stored with all that it rests on, and can be computed again.",
    rejected: [
      {
        instead: "cron",
        because: "Prefect has runs, states and retries, and a server that shows them.",
        page: "docs/decisions/0004-dependencies.md",
      },
      {
        instead: "A gate on average precision and recall",
        because:
          "Average precision weighs a fraud of two euros like one of two thousand, and does not see the policy that decides.",
        page: "docs/decisions/0021-verdicts.md",
      },
      {
        instead: "Promotion of exactly the model that was judged",
        because:
          "After a change of fraud it has seen four days of it, and the bank knows eleven. The settings are fitted again on all of them. A policy may still ask for the judged bytes.",
        page: "docs/decisions/0024-a-promoted-challenger-is-fitted-again.md",
      },
    ],
    failure:
      "The champion stays. Every verdict is in MLflow with its reasons, and cardwatch verdict check computes it again.",
    ifKilled: "A retraining that runs now is run again after the restart. Decisions are not affected.",
    ifFrozen: "Retraining waits until it is resumed. Decisions are not affected.",
    runbook: ["docs/runbook/retraining-failed.md"],
    code: ["pipelines/flows/retrain.py", "cardwatch/promotion/gate.py", "pipelines/replay.py"],
    tests: [
      "tests/integration/test_prefect_flows.py",
      "tests/unit/cardwatch/promotion/test_gate.py",
      "tests/properties/test_promotion_properties.py",
    ],
    aws: "Step Functions. Each state runs the entry point of the task of that name: the same steps, the same code.",
  },
  mlflow: {
    title: "MLflow registry",
    subtitle: "versions, champion",
    does: "It holds the versions of the model with their metrics, verdicts and model cards, and the aliases champion and challenger. The scoring service polls the alias every two seconds and loads a version only if its digest matches.",
    why: "A promotion is one move of an alias, and so is the way back. Models are data: XGBoost's own format and JSON. Nothing is pickled.",
    rejected: [
      {
        instead: "A registry of our own",
        because: "MLflow has tracking, artifacts and a registry with aliases.",
        page: "docs/decisions/0004-dependencies.md",
      },
      {
        instead: "Pickled models",
        because:
          "A pickle runs code when it is loaded. A model here is loaded only if the digest in the registry matches.",
        page: "docs/architecture.md",
      },
    ],
    failure:
      "The scoring service keeps serving the model that it has. Without a registry no challenger can be registered or promoted.",
    ifKilled: "The model that is served stays. A promotion waits until it is back.",
    ifFrozen: "The model that is served stays. A promotion waits until it is resumed.",
    runbook: ["docs/runbook/no-champion.md", "docs/former-champion.md"],
    code: ["adapters/model_registry/mlflow_registry.py", "cardwatch/registry.py"],
    tests: ["tests/contract/test_model_registry.py", "tests/unit/adapters/model_registry/test_model_folder.py"],
    aws: "A SageMaker model package group with an approval. The endpoint loads models from there, and approvals are recorded.",
  },
};

export interface CommitStep {
  /** As in adapters/runtime/step_hold.py. */
  name: string;
  title: string;
  text: string;
  /** What a kill during this step leaves behind. */
  killed: string;
  thread: "polling thread" | "committing thread";
}

/** The commit order, with the numbers of `StreamWorker.process_batch` in services/stream/worker.py. */
export const COMMIT_STEPS: CommitStep[] = [
  {
    name: "fold",
    title: "Fold",
    text: "The batch goes through the kernel, over the states that the batch before leaves in memory and those of the store. Feature rows and next states stay in memory.",
    killed: "Nothing is visible. The batch is decided again from the same states.",
    thread: "polling thread",
  },
  {
    name: "score",
    title: "Score",
    text: "One request to the scoring service for the whole batch, with a deadline. If it fails, the rules decide and the decisions are marked degraded; the states are the same either way.",
    killed: "Nothing is visible. The batch is decided again from the same states.",
    thread: "polling thread",
  },
  {
    name: "policy",
    title: "Apply the policy",
    text: "The cost policy turns probabilities into decisions: the feasible action with the lowest expected cost.",
    killed: "Nothing is visible. The batch is decided again from the same states.",
    thread: "polling thread",
  },
  {
    name: "commit",
    title: "Commit",
    text: "When the batch before is applied: one Kafka transaction with decisions, dead letters and offsets.",
    killed: "Before the commit has ended, the transaction is aborted after at most 6 s and the batch is decided again.",
    thread: "committing thread",
  },
  {
    name: "apply",
    title: "Write the states",
    text: "Next states and applied go to the store, atomically per partition, on condition that applied is still the position where the batch began.",
    killed:
      "The decisions are committed, and applied is behind them. On its next start the worker reads this gap from the log and folds it without scoring.",
    thread: "committing thread",
  },
];
