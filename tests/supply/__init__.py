"""What lengthwise is built from: known vulnerabilities and licences of the installed packages."""
