"""Qdrant's gRPC over the official client's local engine, for tests.

Prints {"port": N} when it listens, and a line for each index that is made,
which the local engine has none of. Filters, scores and the rarity of sparse
terms are Qdrant's own code; only the way there is this file's.
"""

import json
import time
from concurrent import futures

import grpc
from qdrant_client import QdrantClient, grpc as q
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc
from qdrant_client.grpc import collections_service_pb2_grpc as collections_grpc
from qdrant_client.grpc import points_service_pb2_grpc as points_grpc
from qdrant_client.grpc import qdrant_pb2_grpc as qdrant_grpc

local = QdrantClient(":memory:")


def missing(context, name):
    if not local.collection_exists(name):
        context.abort(grpc.StatusCode.NOT_FOUND, f"Not found: Collection `{name}` doesn't exist!")


class Qdrant(qdrant_grpc.QdrantServicer):
    def HealthCheck(self, request, context):
        return q.HealthCheckReply(title="qdrant over the local engine", version="1.17.0")


class Collections(collections_grpc.CollectionsServicer):
    def CollectionExists(self, request, context):
        exists = local.collection_exists(request.collection_name)
        return q.CollectionExistsResponse(result=q.CollectionExists(exists=exists), time=0)

    def Create(self, request, context):
        if local.collection_exists(request.collection_name):
            context.abort(grpc.StatusCode.ALREADY_EXISTS, "the collection is there")
        done = local.create_collection(
            request.collection_name,
            vectors_config=GrpcToRest.convert_vectors_config(request.vectors_config),
            sparse_vectors_config=GrpcToRest.convert_sparse_vector_config(request.sparse_vectors_config),
        )
        return q.CollectionOperationResponse(result=done, time=0)

    def Delete(self, request, context):
        done = local.delete_collection(request.collection_name)
        return q.CollectionOperationResponse(result=done, time=0)

    def List(self, request, context):
        names = [q.CollectionDescription(name=c.name) for c in local.get_collections().collections]
        return q.ListCollectionsResponse(collections=names, time=0)


def done():
    return q.PointsOperationResponse(result=q.UpdateResult(operation_id=0, status=q.UpdateStatus.Completed), time=0)


class Points(points_grpc.PointsServicer):
    def CreateFieldIndex(self, request, context):
        missing(context, request.collection_name)
        is_tenant = request.field_index_params.keyword_index_params.is_tenant
        index = {"collection": request.collection_name, "field": request.field_name, "isTenant": is_tenant}
        print(json.dumps({"index": index}), flush=True)
        return done()

    def Upsert(self, request, context):
        missing(context, request.collection_name)
        points = [GrpcToRest.convert_point_struct(point) for point in request.points]
        try:
            local.upsert(request.collection_name, points, wait=True)
        except ValueError as error:
            # As the server answers what it will never take.
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        return done()

    def Delete(self, request, context):
        missing(context, request.collection_name)
        local.delete(request.collection_name, GrpcToRest.convert_points_selector(request.points), wait=True)
        return done()

    def Count(self, request, context):
        missing(context, request.collection_name)
        found = local.count(request.collection_name, GrpcToRest.convert_filter(request.filter), exact=True)
        return q.CountResponse(result=q.CountResult(count=found.count), time=0)

    def Query(self, request, context):
        missing(context, request.collection_name)
        query = GrpcToRest.convert_query(request.query)
        found = local.query_points(
            request.collection_name,
            query=getattr(query, "nearest", query),
            using=request.using,
            query_filter=GrpcToRest.convert_filter(request.filter),
            limit=request.limit,
            with_payload=True,
        )
        points = [RestToGrpc.convert_scored_point(point) for point in found.points]
        return q.QueryResponse(result=points, time=0)


server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
qdrant_grpc.add_QdrantServicer_to_server(Qdrant(), server)
collections_grpc.add_CollectionsServicer_to_server(Collections(), server)
points_grpc.add_PointsServicer_to_server(Points(), server)
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(json.dumps({"port": port}), flush=True)
while True:
    time.sleep(3600)
