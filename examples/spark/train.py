"""Spark and Linear Learner: write a DataFrame as records, train on two hosts, and score another DataFrame.

Run it with `PYTHONPATH=examples .venv/bin/python examples/spark/train.py`. It needs Java 17 or newer, and
`make env EXTRAS=dev,torch,spark`. Results are in results/spark/.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from commands import console, run, served
from pyspark.ml.feature import VectorAssembler
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sql
from records import predictions, write_records
from sklearn.datasets import load_breast_cancer

FOLDER = Path("results/spark")
FILES = 4


def tumours(spark: SparkSession) -> DataFrame:
    """569 records of 30 measurements: 1 is malignant."""
    data = load_breast_cancer()
    names = [name.replace(" ", "_") for name in data.feature_names]
    rows = [(*row, 1 - target) for row, target in zip(data.data.tolist(), data.target.tolist(), strict=True)]
    frame = spark.createDataFrame(rows, [*names, "malignant"])
    return VectorAssembler(inputCols=names, outputCol="measurements").transform(frame)


def main() -> None:
    os.environ.setdefault("COLUMNS", "120")
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # or executors take the first python3 that they find
    spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    known, unseen = tumours(spark).randomSplit([0.8, 0.2], seed=0)
    shutil.rmtree(FOLDER, ignore_errors=True)
    count = write_records(known.repartition(FILES), FOLDER / "train", "measurements", "malignant")
    console.print(f"{count} records in {len([*(FOLDER / 'train').iterdir()])} files of {FOLDER}/train")

    command = ["train", "linear-learner", "--channel", f"train={FOLDER}/train"]
    command += ["--hosts", "2", "--distribution", "ShardedByS3Key"]
    command += ["-H", "predictor_type=binary_classifier", "-H", "mini_batch_size=10"]
    run(*command, "--output", str(FOLDER / "model"))

    with served(FOLDER / "model" / "model.tar.gz") as url:
        said = predictions(unseen, url, "measurements", "malignant long, predicted_label double, score double").cache()
        table = said.groupBy("malignant", "predicted_label").count().orderBy("malignant", "predicted_label")
        for row in table.collect():
            console.print(f"malignant {row[0]}, predicted {row[1]:.0f}: {row[2]} records")
        right = said.agg(sql.avg((sql.col("malignant") == sql.col("predicted_label")).cast("double"))).collect()[0][0]
    console.print(f"{right:.1%} of {unseen.count()} unseen records are right.")
    spark.stop()


if __name__ == "__main__":
    main()
