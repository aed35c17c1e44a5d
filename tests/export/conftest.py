from tests.report.conftest import nothing as nothing
from tests.report.conftest import report as report
from tests.report.conftest import simulate as simulate
from tests.report.conftest import small as small
