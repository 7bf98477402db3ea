"""Python's http.client: asks for what it is told, one line of JSON each, and says how it read the answer."""
import http.client
import json
import sys

connection, number = None, 0


def ask(task):
    global connection, number
    if connection is None or connection.sock is None or connection.port != task["port"]:
        connection = http.client.HTTPConnection("127.0.0.1", task["port"], timeout=10)
        connection.connect()
        number += 1
    try:
        connection.request("GET", task["target"], headers=task["fields"])
        response = connection.getresponse()
    except (http.client.HTTPException, OSError):
        connection.close()
        return None
    try:
        body, whole = response.read(), True
    except (http.client.HTTPException, OSError) as error:
        body, whole = getattr(error, "partial", b""), False
        connection.close()
    return {
        "connection": number,
        "status": response.status,
        "fields": response.getheaders(),
        "body": body.decode("latin1"),
        "whole": whole,
    }


for line in sys.stdin:
    print(json.dumps(ask(json.loads(line))), flush=True)
