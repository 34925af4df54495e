from hx_fleet._fleet import run_fleet as run_fleet
from hx_fleet._units import RunFolder as RunFolder, Unit as Unit
from hx_fleet.worker.steps import Task as Task
