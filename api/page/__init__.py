"""The page: what an installation does, for people in front of a browser. It shows what the API's own functions say.

answer          makes answers of templates
header          the headers of every answer of the page
asset           the style, the script and the icon, each under a name that changes with its content
seal            the key of a session, sealed into a cookie's value
session         who is signed in, and what they may see
state           what requests of the page share
origin          refuses what another site sends in a viewer's name
sign_in         signing in and out
root            the way from / to the page
room            the rooms of the page, and who may see them
overview        the installation in one look
live            figures that change while they are looked at
stream          live figures for one viewer
plot            plots as SVG
wording         numbers, times and names as the page writes them
documentation   /docs and /redoc, without a network
jobs/           the list of jobs, one job, and what may be done with them
submit/         sending a file as a job
operate/        the operator's rooms: workers and models
webhooks/       webhook endpoints, their deliveries, and what may be done with them
account/        keys, tenants, and what they used
"""
