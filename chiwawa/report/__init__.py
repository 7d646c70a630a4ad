"""A run's measurements as one page of HTML: ``RUN.json`` in, a file for a browser out.

It knows the document alone, neither modules nor runs, so a page can be made long after both are
gone. What is in the document came from a module and is trusted in nothing.
"""

from chiwawa.report.reading import read as read
from chiwawa.report.writing import page as page
