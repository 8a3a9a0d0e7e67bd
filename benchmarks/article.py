"""The way of the article that Lookalike started from: one process, one picture after the other, one insert each.

It is what `python -m benchmarks.article` runs, so that its processor time is its own. Each line of its input is a JSON
list of object keys; it answers with `{"seconds": ..., "cpu": ...}`, of these pictures.
"""

import json
import os
import sys
import time
from io import BytesIO
from typing import Final

import imagehash
import numpy as np
import oss2
from PIL import Image
from pymilvus import Collection, CollectionSchema, DataType, FieldSchema, connections

COLLECTION: Final = "article"
_COMPANY_ID: Final = 1


def create_vector(file: BytesIO) -> bytes:
    """The article's function: the average hash of a picture, its 64 bits packed into 8 bytes, row by row."""
    found = imagehash.average_hash(Image.open(file))
    bits = []
    for row in found.hash:
        bits.extend(row)
    return bytes(np.packbits([int(bit) for bit in bits], axis=-1).tolist())


def open_bucket() -> oss2.Bucket:
    """The bucket, by oss2 as it comes."""
    return oss2.Bucket(
        oss2.AuthV4(os.environ["OSS_ACCESS_KEY_ID"], os.environ["OSS_ACCESS_KEY_SECRET"]),
        os.environ["LOOKALIKE_OSS_ENDPOINT"],
        os.environ["LOOKALIKE_OSS_BUCKET"],
        region=os.environ["LOOKALIKE_OSS_REGION"],
    )


def open_collection() -> Collection:
    """The article's collection: four fields, and ids of Milvus' own making."""
    connections.connect(uri=os.environ["LOOKALIKE_MILVUS_URI"])
    schema = CollectionSchema(
        [
            FieldSchema("id", DataType.INT64, is_primary=True, auto_id=True),
            FieldSchema("meta_id", DataType.INT64),
            FieldSchema("company_id", DataType.INT64),
            FieldSchema("image_vector", dtype=DataType.BINARY_VECTOR, dim=64),
        ]
    )
    return Collection(COLLECTION, schema)


def main() -> None:
    """Ingest what is asked for, until the input ends."""
    bucket, collection = open_bucket(), open_collection()
    meta_id = 0
    for line in sys.stdin:
        begun, cpu = time.perf_counter(), time.process_time()
        for key in json.loads(line):
            meta_id += 1
            vector = create_vector(BytesIO(bucket.get_object(key).read()))
            collection.insert([[meta_id], [_COMPANY_ID], [vector]])
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
        sys.stdout.write(json.dumps({"seconds": seconds, "cpu": cpu}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
