from fastserve import create_app

app = create_app()
