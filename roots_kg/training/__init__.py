"""Lightning modules and data modules; the only folder that imports Lightning."""
