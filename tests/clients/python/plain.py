"""An agent over websockets: see ../README.md."""

import asyncio
import json
import sys

import websockets
from websockets.asyncio.client import connect

URL, _, TOKEN = sys.argv[1:4]


def say(line):
    print(json.dumps(line), flush=True)


async def listen(socket):
    async for text in socket:
        message = json.loads(text)
        say({"is": "event", "name": message["event"], "data": message["data"]})


async def main():
    socket = None
    try:
        url = URL.replace("http", "ws") + "/agents/ws"
        socket = await connect(url, additional_headers={"Authorization": f"Bearer {TOKEN}"})
    except websockets.exceptions.InvalidStatus as error:
        say({"is": "refused", "status": error.response.status_code})
    listening = asyncio.create_task(listen(socket)) if socket else None
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order = json.loads(line)
        if order["do"] == "say":
            await socket.send(json.dumps({"event": order["name"], "data": order["data"]}))
        else:
            if socket:
                await socket.close()
                await listening
            return


asyncio.run(main())
