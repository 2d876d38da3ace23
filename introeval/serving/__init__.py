"""What the web server does beyond Django and Daphne: bounds on connections and bodies, threads, static files."""
