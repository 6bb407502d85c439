"""An agent over python-socketio: see ../README.md."""

import asyncio
import json
import sys

import socketio

URL, TRANSPORT, TOKEN = sys.argv[1:4]


def say(line):
    print(json.dumps(line), flush=True)


async def lines():
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        yield json.loads(line)


async def main():
    client = socketio.AsyncClient(reconnection=False)
    greeted = asyncio.Event()

    @client.on("*", namespace="/agents")
    async def told(name, data):
        say({"is": "event", "name": name, "data": data})
        greeted.set()

    transports = ["polling", "websocket"] if TRANSPORT == "upgrade" else [TRANSPORT]
    try:
        await client.connect(URL, auth={"token": TOKEN}, namespaces=["/agents"], transports=transports, wait_timeout=10)
        if TRANSPORT == "upgrade":
            await greeted.wait()
            assert client.transport() == "websocket", client.transport()
            say({"is": "upgraded"})
    except socketio.exceptions.ConnectionError as error:
        say({"is": "refused", "message": str(error)})
    async for order in lines():
        if order["do"] == "say":
            await client.emit(order["name"], order["data"], namespace="/agents")
        elif order["do"] == "ask":
            answer = await client.call(order["name"], order["data"], namespace="/agents")
            say({"is": "answer", "data": answer})
        else:
            await client.disconnect()
            return


asyncio.run(main())
