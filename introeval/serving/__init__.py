"""What the web server does beyond Django and Daphne: bounds on connections and bodies, request threads, static files."""
