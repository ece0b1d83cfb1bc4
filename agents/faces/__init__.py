"""The hot routes: submit, stream, chat and the websocket, as one lean asynchronous application in front of Django."""
