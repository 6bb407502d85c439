"""A client of the Model Context Protocol over the official SDK.

mcp_client.py URL modern|legacy TOKEN: lists the tools, calls two of them, and
prints what came as one line of JSON.
"""

import asyncio
import json
import sys

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

url, mode, token = sys.argv[1:]


async def main():
    http = httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=60)
    async with http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, mode="auto" if mode == "modern" else "legacy") as client:
            tools = await client.list_tools()
            found = await client.call_tool("memory_search", {"query": "methane"})
            refused = await client.call_tool("task_get", {"taskId": "nothing"})
            print(json.dumps({
                "version": str(client.protocol_version),
                "tools": [tool.name for tool in tools.tools],
                "found": found.structured_content,
                "refused": refused.is_error,
            }))


asyncio.run(main())
