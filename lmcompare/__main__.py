from lmcompare.cli import main

main()
