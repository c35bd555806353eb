"""docs/pictures.md says what the commands do."""

from camera_files.table import END, PAGE, START, table, with_table


def test_the_table_says_what_the_commands_do(made_up_files, made_up_patches, outcomes):
    page = PAGE.read_text()
    now = table(made_up_files[1], made_up_patches[1], outcomes)
    lines = page.partition(START)[2].partition(END)[0].splitlines()
    # Without jpegtran, no file of arithmetic coding is made.
    made = {line.split(" | ")[1] for line in now.splitlines()}
    documented = [line for line in lines if line.split(" | ")[1] in made]
    assert documented == now.splitlines(), "run: PYTHONPATH=.:tests python -m camera_files.table"


def test_the_table_is_replaced_and_nothing_else():
    page = f"before\n{START}old\n{END}after\n"
    assert with_table(page, "new\n") == f"before\n{START}new\n{END}after\n"
